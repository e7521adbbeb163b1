//! What every test needs: a loop, servers and clients.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::rc::Rc;

use httpserver::{Error, HttpHandler, HttpServer, Method, Request, Response, StatusCode};
use iostream::{CloseReason, IoStream, ReadHalf, WriteHalf};
use tcpserver::{Connection, StreamHandler};
pub(crate) use test_support::{
    counter, increment, on_loop, on_virtual_loop, pattern, spawn, timed, turns, until,
};

use crate::answers::{self, Answer};

/// What `/hello` and `/echo` answer, and 404 for the rest. An echo begins with the request line's
/// words, so that an answer can be told from those of its neighbours.
pub(crate) async fn app(mut request: Request) -> Result<Response, Error> {
    match (request.method(), request.path()) {
        (&Method::GET | &Method::HEAD, "/hello") => Ok(Response::text("hello\n")),
        (_, "/echo") => {
            let mut text = format!("{} {}\n", request.method(), request.target()).into_bytes();
            text.extend_from_slice(&request.body().bytes().await?);
            Ok(Response::new(text))
        }
        _ => Err(Error::new(StatusCode::NOT_FOUND)),
    }
}

/// A connection in memory to a server of its own.
#[track_caller]
pub(crate) fn connect<H: HttpHandler>(server: HttpServer<H>) -> Client {
    connect_to(&Rc::new(server))
}

/// One more connection in memory.
#[track_caller]
pub(crate) fn connect_to<H: HttpHandler>(server: &Rc<HttpServer<H>>) -> Client {
    let (client, stream) = IoStream::pair();
    serve(server, stream);
    Client::new(client)
}

/// A connection over TCP, for what only a kernel does.
pub(crate) fn connect_over_tcp<H: HttpHandler>(server: HttpServer<H>) -> Client {
    let (client, stream) = tcp();
    serve(&Rc::new(server), stream);
    Client::new(client)
}

pub(crate) fn serve<H: HttpHandler>(server: &Rc<HttpServer<H>>, stream: IoStream) {
    let server = server.clone();
    let handled = async move { server.handle_stream(stream, Connection::in_memory()).await };
    spawn(async {
        if let Err(error) = handled.await {
            let error = error.downcast::<iostream::Error>();
            assert!(error.is_ok_and(|error| error.is_departure()));
        }
    })
    .detach();
}

fn tcp() -> (IoStream, IoStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    (
        IoStream::from_fd(client).unwrap(),
        IoStream::from_fd(server).unwrap(),
    )
}

/// A client that says what it is told to.
pub(crate) struct Client {
    reader: ReadHalf,
    /// None once this side is closed.
    writer: Option<WriteHalf>,
}

impl Client {
    pub(crate) fn new(stream: IoStream) -> Client {
        let (reader, writer) = stream.split();
        Client {
            reader,
            writer: Some(writer),
        }
    }

    /// Sends, and waits until the transport has taken it.
    pub(crate) async fn send(&self, bytes: impl AsRef<[u8]>) {
        assert!(self.try_send(bytes).await, "the server has left");
    }

    /// Sends; says whether anybody was there to take it.
    pub(crate) async fn try_send(&self, bytes: impl AsRef<[u8]>) -> bool {
        let writer = self.writer.as_ref().expect("this side is not closed");
        writer.write(bytes.as_ref()).await.is_ok() && writer.flush().await.is_ok()
    }

    /// Has the loop send it.
    pub(crate) fn queue(&self, bytes: impl AsRef<[u8]>) {
        let writer = self.writer.as_ref().expect("this side is not closed");
        writer.queue(bytes.as_ref()).unwrap();
    }

    pub(crate) fn writer(&self) -> WriteHalf {
        self.writer.clone().expect("this side is not closed")
    }

    /// Closes this side; answers still come.
    pub(crate) fn half_close(&mut self) {
        self.writer = None;
    }

    /// Goes as a process that is killed would have its kernel do.
    pub(crate) fn reset(self) {
        self.writer.expect("this side is not closed").abort();
    }

    /// Sends a request, and waits for the answer.
    pub(crate) async fn ask(&mut self, request: impl AsRef<[u8]>) -> Answer {
        let is_head = request.as_ref().starts_with(b"HEAD ");
        self.send(request).await;
        self.read_answer(is_head).await
    }

    /// The next answer, which is not to `HEAD`.
    pub(crate) async fn answer(&mut self) -> Answer {
        self.read_answer(false).await
    }

    async fn read_answer(&mut self, is_head: bool) -> Answer {
        let parsed = self
            .reader
            .read_with(|bytes| Ok::<_, iostream::Error>(answers::parse(bytes, is_head)));
        parsed.await.expect("an answer")
    }

    /// The head of the next answer; its body is not read.
    pub(crate) async fn head(&mut self) -> Answer {
        let parsed = self
            .reader
            .read_with(|bytes| Ok::<_, iostream::Error>(answers::parse_head(bytes)));
        parsed.await.expect("an answer")
    }

    pub(crate) async fn some(&mut self, max: usize) -> Vec<u8> {
        self.reader.read_some(max).await.unwrap()
    }

    /// As [`some`](Client::some), and takes no more than that from the transport.
    pub(crate) async fn little(&mut self, max: usize) -> Vec<u8> {
        let mut bytes = vec![0; max];
        let count = self.reader.read_into(&mut bytes).await.unwrap();
        bytes.truncate(count);
        bytes
    }

    /// What comes to the end of the connection, and how that ends.
    pub(crate) async fn rest(&mut self) -> (Vec<u8>, CloseReason) {
        let mut bytes = Vec::new();
        loop {
            match self.reader.read_some(64 * 1024).await {
                Ok(some) => bytes.extend(some),
                Err(iostream::Error::Closed { reason, .. }) => return (bytes, reason),
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// All answers to the end of the connection, which must be in good order.
    pub(crate) async fn last_answers(&mut self, methods: &[&str]) -> Vec<Answer> {
        let (bytes, reason) = self.rest().await;
        assert_eq!(reason, CloseReason::EndOfStream);
        answers::parse_all(&bytes, methods)
    }

    /// Waits for the end of the connection, before which nothing may come.
    pub(crate) async fn end(&mut self) -> CloseReason {
        let (bytes, reason) = self.rest().await;
        assert!(bytes.is_empty(), "{:?}", String::from_utf8_lossy(&bytes));
        reason
    }

    /// Whether the connection is of use for another request.
    pub(crate) async fn goes_on(&mut self) -> bool {
        self.try_send(GET).await
            && match self
                .reader
                .read_with(|bytes| Ok::<_, iostream::Error>(answers::parse(bytes, false)))
                .await
            {
                Ok(answer) => {
                    assert_eq!((answer.status, answer.text()), (200, "hello\n"));
                    true
                }
                Err(_) => false,
            }
    }
}

/// A request that [`app`] knows.
pub(crate) const GET: &str = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";

/// A request with a body for [`app`].
pub(crate) fn post(body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!(
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// The head of a request with a chunked body.
pub(crate) const CHUNKED: &str =
    "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
