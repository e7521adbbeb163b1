//! Servers in several processes: workers are replaced, and none is left behind.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, kill_process, kill_process_group};
use squall_tests::{Client, Server, Signal, example};

#[test]
fn a_killed_worker_is_not_missed_or_renumbered_and_the_others_do_not_notice() {
    let mut server = workers(&["--processes", "3"]);
    let before = who(&server, 3);
    let mut clients = clients_of_all(&server, 3);
    kill(before[&1]);
    server.wait_for_log("a worker was killed by signal 9; starting it again worker=1");
    let after = who(&server, 3);
    assert_eq!(before.keys().collect::<Vec<_>>(), [&0, &1, &2]);
    assert_eq!(after.keys().collect::<Vec<_>>(), [&0, &1, &2]);
    assert_eq!((before[&0], before[&2]), (after[&0], after[&2]));
    assert_ne!(before[&1], after[&1]);
    assert_eq!(clients.get_mut(&1).unwrap().rest(), "");
    for id in [0, 2] {
        assert_eq!(ask(clients.get_mut(&id).unwrap()), (id, before[&id]));
    }
    let log = end(server, Signal::TERM);
    assert_eq!(log.matches("starting it again").count(), 1, "{log}");
}

#[test]
fn a_worker_that_fails_is_not_left_out_and_one_that_ends_well_is_not_started_again() {
    let mut server = workers(&["--processes", "2"]);
    let before = who(&server, 2);
    tell(&server, 0, 2, "exit 3\n");
    server.wait_for_log("a worker exited with status 3; starting it again worker=0");
    assert_ne!(who(&server, 2)[&0], before[&0]);

    tell(&server, 1, 2, "exit 0\n");
    server.wait_for_log("a worker exited with status 0 worker=1");
    // The other goes on, alone.
    assert!((0..20).all(|_| ask(&mut server.connect()).0 == 0));
    // The parent ends when nobody is left.
    tell(&server, 0, 1, "exit 0\n");
    let group = server.id();
    let log = server.finish().log_of_success();
    assert!(log.ends_with("all workers have ended\n"), "{log}");
    assert_eq!(log.matches("starting it again").count(), 1, "{log}");
    assert_nobody_is_left(group);
}

#[test]
fn a_hundred_and_one_crashing_workers_are_not_restarted_for_ever() {
    let (output, group) = run(&["--processes", "101", "--worker", "crash"]);
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{log}");
    let last = log.lines().last().unwrap();
    assert!(
        last.contains("too many restarts of workers: worker "),
        "{last}"
    );
    assert!(last.contains("exited with status 101"), "{last}");
    assert_eq!(log.matches("starting it again").count(), 100, "{log}");
    assert_nobody_is_left(group);
}

/// The system then tells a parent nothing about its children.
#[test]
fn a_parent_that_was_started_with_sigchld_ignored_does_not_overlook_an_end() {
    // Not a shell's trap: some of them take SIGCHLD back.
    let mut env = Command::new("env");
    env.args(["--ignore-signal=CHLD", env!("CARGO_BIN_EXE_workers")]);
    let mut server = Server::start(env.process_group(0));
    kill(who(&server, 2)[&0]);
    server.wait_for_log("a worker ended, nobody knows how; starting it again worker=0");
    who(&server, 2);
    end(server, Signal::TERM);
}

#[test]
fn workers_that_could_go_on_are_not_left_behind_when_another_fails_for_good() {
    let server = workers(&["--processes", "3", "--max-restarts", "0"]);
    let mut slow = client_of(&server, 1, 3);
    slow.say("slow\n");
    slow.expect("slow\n");
    tell(&server, 0, 3, "exit 101\n");
    // Nor are they killed: they drain.
    assert_eq!(slow.rest(), "done\n");
    let group = server.id();
    let ending = server.finish();
    assert_eq!(ending.status.code(), Some(1), "{}", ending.log);
    let sentence = "too many restarts of workers: worker 0 exited with status 101";
    assert!(ending.log.contains(sentence), "{}", ending.log);
    assert_nobody_is_left(group);
}

#[test]
fn no_worker_outlives_a_parent_that_is_killed() {
    let server = workers(&["--processes", "4"]);
    let mut clients = clients_of_all(&server, 4);
    let mut deaf = server.connect();
    deaf.say("deaf\n");
    deaf.expect("deaf\n");
    let group = server.id();
    server.send(Signal::KILL);
    // They have their log open until they end.
    let ending = server.finish();
    assert_eq!(ending.status.signal(), Some(9), "{}", ending.log);
    assert_nobody_is_left(group);
    clients
        .values_mut()
        .for_each(|client| assert_eq!(client.rest(), ""));
}

#[test]
fn signals_that_end_nobody_do_not_stay_with_the_parent() {
    let mut server = workers(&["--processes", "2", "--worker", "handles"]);
    let before = who(&server, 2);
    let mut clients = clients_of_all(&server, 2);
    for (signal, name) in [
        (Signal::HUP, "SIGHUP"),
        (Signal::USR1, "SIGUSR1"),
        (Signal::USR2, "SIGUSR2"),
    ] {
        server.send(signal);
        // In any order.
        server.wait_for_log(&format!("was sent {name}"));
        server.wait_for_log(&format!("was sent {name}"));
    }
    for (id, client) in &mut clients {
        assert_eq!(ask(client), (*id, before[id]));
    }
    end(server, Signal::TERM);
}

#[test]
fn a_quit_signal_is_not_survived_or_taken_for_a_failure() {
    // It is the workers' to handle, but nobody is started again.
    let mut server = workers(&["--processes", "2", "--worker", "handles"]);
    who(&server, 2);
    server.send(Signal::QUIT);
    server.wait_for_log("was sent SIGQUIT");
    server.wait_for_log("was sent SIGQUIT");
    end(server, Signal::TERM);

    let server = workers(&["--processes", "2"]);
    who(&server, 2);
    let log = end(server, Signal::QUIT);
    assert_eq!(log.matches("was killed by signal 3 ").count(), 2, "{log}");
    assert!(!log.contains("starting it again"), "{log}");
}

#[test]
fn workers_that_do_not_handle_a_user_signal_do_not_stay_away() {
    let mut server = workers(&["--processes", "2"]);
    let before = who(&server, 2);
    server.send(Signal::USR1);
    server.wait_for_log("was killed by signal 10; starting it again");
    server.wait_for_log("was killed by signal 10; starting it again");
    let after = who(&server, 2);
    assert!(
        before
            .values()
            .all(|process| !after.values().any(|now| now == process))
    );
    end(server, Signal::TERM);
}

/// What a worker needs to handle it may take a while to make.
#[test]
fn a_signal_is_not_too_early_once_a_server_says_where_it_listens() {
    for _ in 0..20 {
        let mut command = Command::new(example("framed"));
        let flags = ["serve", "--processes", "2"];
        let mut server = Server::start(command.args(flags).process_group(0));
        server.send(Signal::USR1);
        server.wait_for_log(": 0 connections");
        server.wait_for_log(": 0 connections");
        let log = end(server, Signal::TERM);
        assert!(!log.contains("was killed"), "{log}");
        assert_eq!(log.matches("drained finished=0 cut=0").count(), 2, "{log}");
    }
}

#[test]
fn workers_that_do_not_handle_a_hang_up_do_not_come_back() {
    let server = workers(&["--processes", "2"]);
    who(&server, 2);
    let group = server.id();
    server.send(Signal::HUP);
    let log = server.finish().log_of_success();
    assert_eq!(log.matches("was killed by signal 1 ").count(), 2, "{log}");
    assert!(!log.contains("starting it again"), "{log}");
    assert_nobody_is_left(group);
}

#[test]
fn nobody_is_cut_off_when_a_signal_ends_the_parent() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut command = Command::new(example("echo"));
        let server = Server::start(command.args(["--processes", "3"]).process_group(0));
        let address = server.address();
        let mut clients: Vec<Client> = (0..60).map(|_| server.connect()).collect();
        for client in &mut clients {
            client.exchange("hello");
        }
        // Who is served does not need the parent.
        server.send(Signal::STOP);
        clients
            .iter_mut()
            .for_each(|client| client.exchange("more"));
        server.send(signal);
        server.send(Signal::CONT);
        clients
            .iter_mut()
            .for_each(|client| assert_eq!(client.rest(), ""));
        let log = end_of(server);
        let ends = log
            .lines()
            .filter_map(|line| line.split_once("drained finished="));
        let finished = ends.map(|(_, end)| end.split_once(" cut=0").expect(end).0);
        let finished: Vec<usize> = finished.map(|count| count.parse().unwrap()).collect();
        // Also whoever had served nobody.
        assert_eq!(finished.len(), 3, "{log}");
        assert_eq!(finished.iter().sum::<usize>(), 60, "{log}");
        assert!(TcpStream::connect(address).is_err());
    }
}

/// Ctrl-C goes to all processes on a terminal, and then from the parent to the workers.
#[test]
fn a_signal_that_reaches_a_worker_twice_does_not_cut_it_short() {
    let server = workers(&["--processes", "2"]);
    let mut clients = clients_of_all(&server, 2);
    for client in clients.values_mut() {
        client.say("slow\n");
        client.expect("slow\n");
    }
    kill_process_group(pid(server.id()), Signal::INT).unwrap();
    clients
        .values_mut()
        .for_each(|client| assert_eq!(client.rest(), "done\n"));
    end_of(server);
}

#[test]
fn nobody_is_accepted_while_the_workers_drain() {
    let mut server = workers(&["--processes", "2"]);
    let mut slow = server.connect();
    slow.say("slow\n");
    slow.expect("slow\n");
    server.send(Signal::TERM);
    server.wait_for_log("ending the workers");
    let is_refused = |_| TcpStream::connect(server.address()).is_err();
    assert!((0..10_000).any(is_refused), "it still listens");
    assert_eq!(slow.rest(), "done\n");
    end_of(server);
}

#[test]
fn workers_that_ignore_the_first_signal_do_not_survive_the_second() {
    for [first, second] in [[Signal::INT, Signal::TERM], [Signal::TERM, Signal::TERM]] {
        let mut server = workers(&["--processes", "2"]);
        who(&server, 2);
        let mut deaf = server.connect();
        deaf.say("deaf\n");
        deaf.expect("deaf\n");
        server.send(first);
        server.wait_for_log("ending the workers");
        server.send(second);
        assert_eq!(deaf.rest(), "");
        let log = end_of(server);
        assert!(log.contains("killing the workers"), "{log}");
    }
}

#[test]
fn a_process_with_a_loop_or_with_threads_is_not_forked() {
    let (output, _) = run(&["--before", "loop"]);
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{complaint}");
    let sentence =
        "cannot fork: this process has made an event loop, which its children would share";
    assert!(complaint.contains(sentence), "{complaint}");

    let (output, _) = run(&["--before", "thread"]);
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{complaint}");
    let sentence = "cannot fork: this process has 2 threads, of which its children would have one";
    assert!(complaint.contains(sentence), "{complaint}");

    // Nothing stands in the way of a server that needs no other process.
    let server = workers(&["--before", "thread", "--processes", "1"]);
    assert_eq!(ask(&mut server.connect()), (-1, server.id()));
    server.send(Signal::TERM);
    server.finish().log_of_success();
}

/// Stopped, they find all clients at once. Whoever serves one is busy for a while.
#[test]
fn a_burst_of_clients_does_not_wait_for_the_first_worker_that_wakes() {
    let server = workers(&["--processes", "2"]);
    let workers = who(&server, 2);
    for worker in workers.values() {
        kill_process(pid(*worker), Signal::STOP).unwrap();
    }
    let mut clients: Vec<Client> = (0..10).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| client.say("block\n"));
    for worker in workers.values() {
        kill_process(pid(*worker), Signal::CONT).unwrap();
    }
    let mut shares = [0; 2];
    for client in &mut clients {
        shares[usize::try_from(ask(client).0).unwrap()] += 1;
    }
    assert!(shares.iter().all(|share| *share >= 2), "{shares:?}");
    end(server, Signal::INT);
}

#[test]
fn where_a_server_listens_is_not_said_by_each_process() {
    for (name, command) in [("echo", None), ("hello", None), ("framed", Some("serve"))] {
        let mut child = Command::new(example(name))
            .args(command)
            .args(["--port", "0", "--processes", "3"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert!(line.starts_with("listening on "), "{line}");
        let workers = children_of(child.id());
        assert_eq!(workers.len(), 3);
        kill(workers[0]);
        // Replaced, and so it has had the chance to speak.
        until(|| {
            let now = children_of(child.id());
            now.len() == 3 && !now.contains(&workers[0])
        });
        kill_process(pid(child.id()), Signal::INT).unwrap();
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
        assert!(child.wait().unwrap().success());
    }
}

/// A group of their own, by which all of them are found.
fn workers(flags: &[&str]) -> Server {
    let mut command = Command::new(env!("CARGO_BIN_EXE_workers"));
    Server::start(command.args(flags).process_group(0))
}

/// Runs one that ends by itself; also gives its process group.
fn run(flags: &[&str]) -> (Output, u32) {
    let child = Command::new(env!("CARGO_BIN_EXE_workers"))
        .args(["--port", "0"])
        .args(flags)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    let group = child.id();
    (child.wait_with_output().unwrap(), group)
}

/// The worker that serves a client, and its process.
fn ask(client: &mut Client) -> (i32, u32) {
    client.say("who\n");
    let answer = client.line();
    let (id, process) = answer.split_once(' ').unwrap();
    (id.parse().unwrap(), process.parse().unwrap())
}

/// A client of each worker, of whom there are so many.
fn clients_of_all(server: &Server, count: usize) -> BTreeMap<i32, Client> {
    let mut clients = BTreeMap::new();
    for _ in 0..10_000 {
        if clients.len() == count {
            return clients;
        }
        let mut client = server.connect();
        let (id, _) = ask(&mut client);
        clients.entry(id).or_insert(client);
    }
    panic!("only these serve: {clients:?}");
}

fn client_of(server: &Server, id: i32, count: usize) -> Client {
    clients_of_all(server, count).remove(&id).unwrap()
}

/// All workers with their processes.
fn who(server: &Server, count: usize) -> BTreeMap<i32, u32> {
    let clients = clients_of_all(server, count);
    clients
        .into_values()
        .map(|mut client| ask(&mut client))
        .collect()
}

fn tell(server: &Server, id: i32, count: usize, what: &str) {
    let mut client = client_of(server, id, count);
    client.say(what);
    assert_eq!(client.rest(), "");
}

/// Ends a server by a signal, and fails unless that is a success that leaves nobody behind.
fn end(server: Server, signal: Signal) -> String {
    server.send(signal);
    end_of(server)
}

fn end_of(server: Server) -> String {
    let group = server.id();
    let log = server.finish().log_of_success();
    assert_nobody_is_left(group);
    log
}

/// Fails if a process of the group lives. Orphans that nobody has waited for do not.
fn assert_nobody_is_left(group: u32) {
    // A process that was killed closes its log a moment before it is gone.
    until(|| {
        let living = processes(|_, in_group, state| in_group == group && !"ZX".contains(state));
        living.is_empty()
    });
}

fn children_of(parent: u32) -> Vec<u32> {
    processes(|parent_of, _, state| parent_of == parent && state != "Z")
}

/// The processes of whose parent, group and state this is true.
fn processes(are: impl Fn(u32, u32, &str) -> bool) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap() {
        let name = entry.unwrap().file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // It may have ended since.
        let Ok(stat) = fs::read_to_string(format!("/proc/{id}/stat")) else {
            continue;
        };
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let mut fields = fields.split(' ');
        let state = fields.next().unwrap();
        let mut number = || fields.next().unwrap().parse().unwrap();
        if are(number(), number(), state) {
            found.push(id);
        }
    }
    found
}

/// Waits for what nothing tells of, by asking again and again.
fn until(condition: impl Fn() -> bool) {
    for _ in 0..10_000 {
        if condition() {
            return;
        }
        thread::yield_now();
    }
    panic!("it does not come to pass");
}

fn kill(process: u32) {
    kill_process(pid(process), Signal::KILL).unwrap();
}

fn pid(process: u32) -> Pid {
    Pid::from_raw(process.try_into().unwrap()).unwrap()
}
