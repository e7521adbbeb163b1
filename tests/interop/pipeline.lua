-- Has wrk send sixteen requests at once, without waiting for their answers.

function init()
    local requests = {}
    for number = 1, 16 do
        requests[number] = wrk.format("GET", "/?" .. number)
    end
    batch = table.concat(requests)
end

function request()
    return batch
end
