//! What the module promises to every handler.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use ioloop::{IoLoop, testing};
use socket2::{Domain, SockRef, Socket, Type};

use crate::echo::Echo;
use crate::raw_server::{ExternalTasks, Handler, RawServer};
use crate::single_socket::SingleSocket;

const SECOND: Duration = Duration::from_secs(1);
const NEVER: Duration = Duration::ZERO;
const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Writes down what it is told. `react` may answer with what it likes.
struct Recorder {
    journal: RefCell<Vec<String>>,
    react: fn(&str, &Rc<SingleSocket>),
    /// Set while it runs.
    entered: Cell<bool>,
}

impl Recorder {
    fn new(react: fn(&str, &Rc<SingleSocket>)) -> Rc<Recorder> {
        Rc::new(Recorder {
            journal: RefCell::default(),
            react,
            entered: Cell::new(false),
        })
    }

    fn told(&self, what: &str, socket: &Rc<SingleSocket>) {
        assert!(!self.entered.replace(true), "entered again while it runs");
        self.journal.borrow_mut().push(what.to_owned());
        (self.react)(what, socket);
        self.entered.set(false);
    }

    fn journal(&self) -> Vec<String> {
        self.journal.borrow().clone()
    }
}

impl Handler for Recorder {
    fn external_connection_made(&self, socket: &Rc<SingleSocket>) {
        self.told("made", socket);
    }

    fn connection_started(&self, socket: &Rc<SingleSocket>) {
        self.told("started", socket);
    }

    fn data_came_in(&self, socket: &Rc<SingleSocket>, data: &[u8]) {
        self.told(&format!("data {}", data.len()), socket);
    }

    fn end_came_in(&self, socket: &Rc<SingleSocket>) {
        self.told("end", socket);
        socket.close_when_flushed();
    }

    fn connection_flushed(&self, socket: &Rc<SingleSocket>) {
        assert!(socket.is_flushed());
        self.told("flushed", socket);
    }

    fn connection_lost(&self, socket: &Rc<SingleSocket>, error: Option<&io::Error>) {
        let why = error.map_or("in good order".to_owned(), |error| {
            format!("{:?}", error.kind())
        });
        self.told(&format!("lost: {why}"), socket);
    }
}

/// Stops the server when the client is done, also by a panic.
struct Stop(ExternalTasks);

impl Drop for Stop {
    fn drop(&mut self) {
        let _ = self.0.add_task(|server| server.shut_down(SECOND));
    }
}

/// Runs a server until `client`, on a thread of its own, is done with it.
fn serve<T: Send + 'static>(
    handler: Rc<dyn Handler>,
    client: impl FnOnce(SocketAddr) -> T + Send + 'static,
) -> T {
    let server = RawServer::new(100, NEVER);
    let address = server.bind(ANY_PORT).unwrap();
    let stop = Stop(server.external_tasks());
    let client = thread::spawn(move || {
        let _stop = stop;
        client(address)
    });
    server.listen_forever(handler).unwrap();
    client.join().unwrap()
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(10 * SECOND)).unwrap();
    stream
}

fn exchange(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
    let mut answer = vec![0; bytes.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, bytes);
}

#[test]
fn a_flush_is_told_also_if_everything_went_out_at_once_and_never_inside_write() {
    let recorder = Recorder::new(|what, socket| {
        if what.starts_with("data") {
            assert!(socket.is_flushed());
            socket.write(b"an");
            socket.write(b"swer");
            assert!(!socket.is_flushed(), "it is sent at the end of the turn");
        }
    });
    let answer = serve(recorder.clone(), |address| {
        let mut stream = connect(address);
        stream.write_all(b"question").unwrap();
        let mut answer = [0; 6];
        stream.read_exact(&mut answer).unwrap();
        answer
    });
    assert_eq!(&answer, b"answer");
    let expected = ["made", "data 8", "flushed", "end", "lost: in good order"];
    assert_eq!(recorder.journal(), expected);
}

#[test]
fn after_close_nothing_is_told_but_the_loss() {
    let recorder = Recorder::new(|what, socket| {
        if what.starts_with("data") {
            socket.write(b"discarded");
            socket.close();
            socket.write(b"ignored");
            socket.close_when_flushed();
        }
    });
    let answer = serve(recorder.clone(), |address| {
        let mut stream = connect(address);
        stream.write_all(b"question").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    });
    assert_eq!(answer, b"");
    assert_eq!(
        recorder.journal(),
        ["made", "data 8", "lost: in good order"]
    );
}

#[test]
fn after_close_when_flushed_input_is_discarded_and_the_answer_arrives() {
    let recorder = Recorder::new(|what, socket| {
        if what.starts_with("data") {
            socket.write(b"answer");
            socket.close_when_flushed();
            socket.write(b"ignored");
        }
    });
    let answer = serve(recorder.clone(), |address| {
        let mut stream = connect(address);
        stream.write_all(b"question").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        // A reset would come in answer to one of these, and be reported by the next.
        (0..1000).for_each(|_| stream.write_all(b"more").unwrap());
        answer
    });
    assert_eq!(answer, b"answer");
    assert_eq!(
        recorder.journal(),
        ["made", "data 8", "lost: in good order"]
    );
}

#[test]
fn output_beyond_the_limit_ends_the_connection_and_says_so() {
    let recorder = Recorder::new(|what, socket| {
        if what == "made" || what == "flushed" {
            for _ in 0..64 {
                socket.write(&[0; 64 * 1024]);
            }
        }
        if what == "flushed" {
            socket.write(b"one more");
        }
    });
    let count = serve(recorder.clone(), |address| {
        let mut answer = Vec::new();
        let _ = connect(address).read_to_end(&mut answer);
        answer.len()
    });
    assert_eq!(count, 64 * 64 * 1024, "the limit itself is allowed");
    assert_eq!(recorder.journal(), ["made", "flushed", "lost: StorageFull"]);
}

#[test]
fn a_panicking_handler_loses_its_own_connection_only() {
    struct Fragile(Cell<u32>);

    impl Handler for Fragile {
        fn data_came_in(&self, socket: &Rc<SingleSocket>, data: &[u8]) {
            assert_ne!(data, b"panic", "as the client wished");
            socket.write(data);
        }

        fn connection_lost(&self, _: &Rc<SingleSocket>, error: Option<&io::Error>) {
            let panicked = error.is_some_and(|error| error.kind() == ErrorKind::Other);
            self.0.set(self.0.get() + u32::from(panicked));
        }
    }

    let fragile = Rc::new(Fragile(Cell::new(0)));
    serve(fragile.clone(), |address| {
        let mut steady = connect(address);
        exchange(&mut steady, b"before");
        let mut doomed = connect(address);
        doomed.write_all(b"panic").unwrap();
        assert_eq!(doomed.read(&mut [0]).unwrap(), 0);
        exchange(&mut steady, b"after");
        exchange(&mut connect(address), b"anew");
    });
    assert_eq!(fragile.0.get(), 1);
}

#[test]
fn a_handler_that_panics_when_a_connection_is_made_does_not_end_the_listening() {
    let panics = Recorder::new(|what, socket| {
        if what == "made" && socket.server.socket(socket.id()).is_some() {
            socket.set_handler(Rc::new(Echo));
            panic!("as it should");
        }
    });
    serve(panics.clone(), move |address| {
        assert_eq!(connect(address).read(&mut [0]).unwrap(), 0);
        // The recorder is still marked as entered, and panics for every connection.
        assert_eq!(connect(address).read(&mut [0]).unwrap(), 0);
    });
    assert_eq!(panics.journal(), ["made"]);
}

#[test]
fn tasks_that_add_themselves_again_do_not_keep_input_out() {
    fn again(server: &Rc<RawServer>, runs: Rc<Cell<u64>>) {
        runs.set(runs.get() + 1);
        let same = server.clone();
        server.add_task(move || again(&same, runs), Duration::ZERO);
    }

    struct Busy(Rc<Cell<u64>>);

    impl Handler for Busy {
        fn external_connection_made(&self, socket: &Rc<SingleSocket>) {
            socket.set_handler(Rc::new(Echo));
            again(&socket.server, self.0.clone());
        }
    }

    let runs = Rc::new(Cell::new(0));
    serve(Rc::new(Busy(runs.clone())), |address| {
        let mut stream = connect(address);
        (0..100).for_each(|_| exchange(&mut stream, b"still there?"));
    });
    assert!(runs.get() >= 100, "{} runs", runs.get());
}

#[test]
fn tasks_of_one_moment_run_in_the_order_they_were_added() {
    testing::virtual_loop();
    let (server, order) = (RawServer::new(1, NEVER), Rc::new(RefCell::new(Vec::new())));
    for task in 0..100 {
        let order = order.clone();
        server.add_task(move || order.borrow_mut().push(task), SECOND);
    }
    let same = server.clone();
    server.add_task(move || same.shut_down(SECOND), SECOND);
    server.listen_forever(Rc::new(Echo)).unwrap();
    assert_eq!(*order.borrow(), (0..100).collect::<Vec<_>>());
}

#[test]
fn a_refused_connection_is_reported() {
    let refusing = TcpListener::bind(ANY_PORT).unwrap().local_addr().unwrap();
    let recorder = Recorder::new(|what, socket| {
        if what.starts_with("lost") {
            socket.server.shut_down(SECOND);
        }
    });
    let server = RawServer::new(1, NEVER);
    let socket = server.start_connection(refusing, recorder.clone()).unwrap();
    socket.write(b"nobody reads this");
    server.listen_forever(Rc::new(Echo)).unwrap();
    assert_eq!(recorder.journal(), ["lost: ConnectionRefused"]);
}

#[test]
fn what_is_written_before_the_connection_is_established_goes_out_then() {
    let listener = TcpListener::bind(ANY_PORT).unwrap();
    let recorder = Recorder::new(|what, socket| {
        if what.starts_with("lost") {
            socket.server.shut_down(SECOND);
        }
    });
    let server = RawServer::new(1, NEVER);
    let address = listener.local_addr().unwrap();
    let socket = server.start_connection(address, recorder.clone()).unwrap();
    socket.write(b"early");
    socket.close_when_flushed();
    let peer = thread::spawn(move || {
        let mut text = String::new();
        listener
            .accept()
            .unwrap()
            .0
            .read_to_string(&mut text)
            .unwrap();
        text
    });
    server.listen_forever(Rc::new(Echo)).unwrap();
    assert_eq!(peer.join().unwrap(), "early");
    assert_eq!(recorder.journal(), ["started", "lost: in good order"]);
}

/// A queue of one that nobody empties: the kernel ignores whoever else knocks.
#[test]
fn an_attempt_to_connect_that_nobody_answers_times_out() {
    let io_loop = testing::virtual_loop();
    let silent = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    silent.bind(&ANY_PORT.into()).unwrap();
    silent.listen(0).unwrap();
    let address = silent.local_addr().unwrap().as_socket().unwrap();
    let _queued = (
        TcpStream::connect(address).unwrap(),
        begin_connecting(address),
    );

    let recorder = Recorder::new(|_, socket| socket.server.shut_down(SECOND));
    let server = RawServer::new(1, 8 * SECOND);
    server.start_connection(address, recorder.clone()).unwrap();
    let began = io_loop.now();
    server.listen_forever(Rc::new(Echo)).unwrap();
    assert_eq!(recorder.journal(), ["lost: TimedOut"]);
    assert!((8 * SECOND..=10 * SECOND).contains(&(io_loop.now() - began)));
}

/// Two connections fill some kernels' queue of none, one that of others.
fn begin_connecting(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_nonblocking(true).unwrap();
    let _ = socket.connect(&address.into());
    socket
}

#[test]
fn a_peer_that_reads_without_ever_sending_is_not_idle() {
    const STEPS: u32 = 20;

    fn read_on(peer: TcpStream, server: Rc<RawServer>, steps_left: u32) {
        let mut bytes = vec![0; 64 * 1024];
        while (&peer).read(&mut bytes).is_ok() {}
        let (same, delay) = (server.clone(), if steps_left > 0 { 1 } else { 3600 });
        let next = move || read_on(peer, same, steps_left.saturating_sub(1));
        server.add_task(next, delay * SECOND);
    }

    let io_loop = testing::virtual_loop();
    let recorder = Recorder::new(|what, socket| match what {
        "made" | "flushed" => socket.write(&[0; 2 * 1024 * 1024]),
        _ => socket.server.shut_down(SECOND),
    });
    let server = RawServer::new(1, 4 * SECOND);
    let address = server.bind(ANY_PORT).unwrap();
    let peer = connect(address);
    peer.set_nonblocking(true).unwrap();
    read_on(peer, server.clone(), STEPS);
    let began = io_loop.now();
    server.listen_forever(recorder.clone()).unwrap();
    assert_eq!(recorder.journal().pop().unwrap(), "lost: TimedOut");
    let lasted = io_loop.now() - began;
    assert!(
        lasted >= (STEPS + 4) * SECOND && lasted <= (STEPS + 7) * SECOND,
        "{lasted:?}"
    );
}

#[test]
fn what_came_with_a_reset_is_read_before_the_loss_is_told() {
    let recorder = Recorder::new(|what, socket| {
        if what.starts_with("lost") {
            socket.server.shut_down(SECOND);
        }
    });
    let server = RawServer::new(1, NEVER);
    let mut peer = connect(server.bind(ANY_PORT).unwrap());
    peer.write_all(&[0; 1000]).unwrap();
    SockRef::from(&peer)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(peer);
    server.listen_forever(recorder.clone()).unwrap();
    assert_eq!(
        recorder.journal(),
        ["made", "data 1000", "lost: ConnectionReset"]
    );
}

#[test]
fn what_came_before_a_send_failed_is_read_before_the_loss_is_told() {
    let recorder = Recorder::new(|what, socket| match what {
        // Each is answered by a reset, since the peer is gone; the second then fails.
        "made" => socket.write(b"welcome"),
        _ if what.starts_with("data") => socket.write(b"go on"),
        "flushed" => {}
        _ => socket.server.shut_down(SECOND),
    });
    let server = RawServer::new(1, NEVER);
    let mut peer = connect(server.bind(ANY_PORT).unwrap());
    peer.write_all(&[0; 60_000]).unwrap();
    drop(peer);
    server.listen_forever(recorder.clone()).unwrap();
    let journal = recorder.journal();
    let data = journal.iter().filter_map(|what| what.strip_prefix("data "));
    let received: usize = data.map(|count| count.parse::<usize>().unwrap()).sum();
    assert_eq!(received, 60_000, "{journal:?}");
    assert!(journal.last().unwrap().starts_with("lost: "), "{journal:?}");
}

#[test]
fn shutting_down_while_a_connection_is_made_accepts_no_more() {
    let recorder = Recorder::new(|what, socket| {
        if what == "made" {
            socket.server.shut_down(SECOND);
        }
    });
    let server = RawServer::new(10, NEVER);
    let address = server.bind(ANY_PORT).unwrap();
    let peers = [connect(address), connect(address), connect(address)];
    peers
        .iter()
        .for_each(|peer| peer.shutdown(std::net::Shutdown::Write).unwrap());
    server.listen_forever(recorder.clone()).unwrap();
    assert_eq!(recorder.journal(), ["made", "lost: in good order"]);
}

#[test]
fn shutting_down_sends_what_is_queued_and_does_not_wait_for_the_end_of_the_grace() {
    let recorder = Recorder::new(|what, socket| {
        if what == "made" {
            socket.write(&[0; 3 * 1024 * 1024]);
            socket.server.shut_down(10 * SECOND);
        }
    });
    let server = RawServer::new(1, NEVER);
    let mut peer = connect(server.bind(ANY_PORT).unwrap());
    let reading = thread::spawn(move || {
        let mut answer = Vec::new();
        peer.read_to_end(&mut answer).unwrap();
        answer.len()
    });
    let (io_loop, began) = (IoLoop::current(), IoLoop::current().now());
    server.listen_forever(recorder.clone()).unwrap();
    assert_eq!(reading.join().unwrap(), 3 * 1024 * 1024);
    assert_eq!(recorder.journal(), ["made", "lost: in good order"]);
    assert!(io_loop.now() - began < 5 * SECOND);
}

#[test]
fn a_task_from_another_thread_wakes_a_server_that_waits() {
    let server = RawServer::new(1, NEVER);
    let tasks = server.external_tasks();
    let other = thread::spawn(move || tasks.add_task(|server| server.shut_down(SECOND)));
    server.listen_forever(Rc::new(Echo)).unwrap();
    assert_eq!(other.join().unwrap(), Ok(()));
    let late = server.external_tasks();
    IoLoop::current().close();
    assert_eq!(late.add_task(|_| unreachable!()), Err(ioloop::Closed));
}
