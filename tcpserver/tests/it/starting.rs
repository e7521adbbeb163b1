//! The ways to start a server, and the kinds of handlers it takes.

use std::cell::Cell;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use tcpserver::{
    BindOptions, BoxError, Connection, IoStream, Listener, Role, StreamHandler, TcpServer,
    bind_sockets, bind_unix_socket,
};

use crate::support::{
    answers, connect, counter, echo, in_a_process_of_its_own, increment, listen, on_loop, turns,
    until,
};

#[test]
fn a_second_address_does_not_replace_the_first() {
    on_loop(async {
        let server = TcpServer::new(echo);
        let addresses = [listen(&server), listen(&server), listen(&server)];
        for address in addresses {
            assert!(answers(&mut connect(address)).await);
        }
    });
}

#[test]
fn both_families_of_an_address_are_served() {
    on_loop(async {
        let server = TcpServer::new(echo);
        let addresses = server.listen(":0").unwrap();
        let port = addresses[0].ip().unwrap().port();
        for address in [format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
            assert!(
                answers(&mut connect(address.parse().unwrap())).await,
                "{address}"
            );
        }
    });
}

#[test]
fn an_address_that_cannot_be_listened_on_does_not_end_the_others() {
    on_loop(async {
        let server = TcpServer::new(echo);
        let address = listen(&server);
        let error = server.listen(address).unwrap_err();
        let wanted = format!("cannot listen on {address}: address already in use");
        assert_eq!(error.to_string(), wanted);
        assert!(answers(&mut connect(address)).await);
    });
}

#[test]
fn an_inherited_listener_is_served_as_one_of_our_own() {
    on_loop(async {
        let theirs = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = theirs.local_addr().unwrap();
        let listener = Listener::try_from(OwnedFd::from(theirs)).unwrap();
        let server = TcpServer::new(echo);
        assert_eq!(
            server.add_sockets(vec![listener]).unwrap()[0].ip(),
            Some(address)
        );
        assert!(answers(&mut connect(address)).await);
    });
}

#[test]
fn sockets_of_all_kinds_are_served_by_one_server() {
    let path = std::env::temp_dir().join(format!("tcpserver-kinds-{}", std::process::id()));
    on_loop(async move {
        let server = TcpServer::new(echo);
        let mut listeners = bind_sockets("127.0.0.1:0", &BindOptions::new()).unwrap();
        listeners.push(bind_unix_socket(&path, 0o600).unwrap());
        let addresses = server.add_sockets(listeners).unwrap();
        let over_unix = std::os::unix::net::UnixStream::connect(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(answers(&mut connect(addresses[0].ip().unwrap())).await);
        assert!(answers(&mut IoStream::from_fd(over_unix).unwrap()).await);
        assert_eq!(addresses[1].to_string(), format!("unix:{}", path.display()));
    });
}

#[test]
fn those_who_connect_between_bind_and_start_are_not_lost() {
    on_loop(async {
        let server = TcpServer::new(echo);
        let free = listen(&server);
        server.stop();
        let addresses = server.bind(free).unwrap();
        assert_eq!(addresses.len(), 1);
        assert_eq!(addresses[0].ip(), Some(free));
        let second = server.bind("127.0.0.1:0").unwrap()[0].ip().unwrap();
        let mut early = connect(free);
        early.queue(b"hello\n").unwrap();
        turns(5).await;
        assert_eq!(server.connections(), 0);
        assert_eq!(server.start(1, None).unwrap(), Role::Worker(0));
        assert_eq!(early.read_until(b"\n", 10).await.unwrap(), b"hello\n");
        assert!(answers(&mut connect(second)).await);
        // What is started is not bound any more, and is not started again.
        assert_eq!(server.start(1, None).unwrap(), Role::Worker(0));
        assert!(answers(&mut connect(free)).await);
    });
}

#[test]
fn nothing_before_the_start_makes_a_loop() {
    in_a_process_of_its_own("starting::nothing_before_the_start_makes_a_loop", || {
        let server = TcpServer::new(echo).max_connections(10);
        server.bind("127.0.0.1:0").unwrap();
        drop(bind_sockets("localhost:0", &BindOptions::new()).unwrap());
        let path = std::env::temp_dir().join(format!("tcpserver-no-loop-{}", std::process::id()));
        drop(bind_unix_socket(&path, 0o600).unwrap());
        std::fs::remove_file(path).unwrap();
        server.clone().stop();
        drop(server);
        assert_eq!(ioloop::loops_made(), 0);
    });
}

#[test]
fn a_clone_is_not_another_server() {
    on_loop(async {
        let server = TcpServer::new(echo);
        let clone = server.clone();
        let address = listen(&clone);
        drop(clone);
        let mut client = connect(address);
        assert!(answers(&mut client).await);
        assert_eq!(server.connections(), 1);
        assert_eq!(server.clone().connections(), 1);
        server.clone().stop();
        assert!(std::net::TcpStream::connect(address).is_err());
    });
}

#[test]
fn no_kind_of_handler_is_left_out() {
    struct Greeter {
        greeting: String,
        guests: Cell<usize>,
    }
    impl StreamHandler for Greeter {
        async fn handle_stream(&self, stream: IoStream, _: Connection) -> Result<(), BoxError> {
            self.guests.set(self.guests.get() + 1);
            let line = format!("{} number {}", self.greeting, self.guests.get());
            stream.write(line.as_bytes()).await?;
            Ok(())
        }
    }
    async fn function(stream: IoStream, _: Connection) -> Result<(), BoxError> {
        stream.write(b"function").await?;
        Ok(())
    }
    async fn greeting<H: StreamHandler>(server: TcpServer<H>) -> String {
        let mut client = connect(listen(&server));
        let greeting = client.read_until_close(100).await.unwrap();
        drop(client);
        until(|| server.connections() == 0).await;
        server.stop();
        String::from_utf8(greeting).unwrap()
    }
    on_loop(async {
        let greeting_of_struct = Greeter {
            greeting: "guest".into(),
            guests: Cell::new(0),
        };
        let by_struct = TcpServer::new(greeting_of_struct);
        assert_eq!(greeting(by_struct.clone()).await, "guest number 1");
        assert_eq!(greeting(by_struct).await, "guest number 2");
        assert_eq!(greeting(TcpServer::new(function)).await, "function");
        assert_eq!(
            greeting(TcpServer::new(|stream, _| function(
                stream,
                Connection::in_memory()
            )))
            .await,
            "function"
        );

        let (count, calls) = counter();
        let shared = Rc::new("closure".to_owned());
        let by_closure = TcpServer::new(async move |stream: IoStream, _: Connection| {
            increment(&calls);
            stream.write(shared.as_bytes()).await?;
            Ok(())
        });
        assert_eq!(greeting(by_closure).await, "closure");
        assert_eq!(count.get(), 1);
    });
}
