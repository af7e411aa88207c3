// SPDX-License-Identifier: Apache-2.0

//! A server on tokio with a task for each connection. Arguments: shape, address of the backend, size of
//! the pool of actors, and the runtime: current (one thread) or multi. It prints its address, and ends with
//! its standard input.

use std::cell::RefCell;
use std::future::Future;
use std::io::{Read, Result, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot, watch};

/// Connections to the backend: a call takes one, and gives it back.
#[derive(Clone)]
struct Backend {
    address: Arc<str>,
    idle: Arc<Mutex<Vec<TcpStream>>>,
    actors: Arc<[mpsc::UnboundedSender<(String, oneshot::Sender<()>)>]>,
    /// What requests of shapes that end with "-refreshed" read, and a task refreshes.
    read: Arc<tokio::sync::Mutex<u64>>,
    /// What requests of shapes that end with "-awaited" wait for: false while it is called for.
    fresh: watch::Receiver<bool>,
}

/// Reads one message: its head, and length bytes. None at the end.
async fn receive(from: &mut TcpStream, length: usize) -> Result<Option<String>> {
    let mut got = Vec::new();
    let mut part = [0; 4096];
    loop {
        let n = from.read(&mut part).await?;
        if n == 0 {
            return Ok(None);
        }
        got.extend_from_slice(&part[..n]);
        if let Some(head) = got.windows(4).position(|w| w == b"\r\n\r\n") {
            if got.len() >= head + 4 + length {
                return Ok(Some(String::from_utf8_lossy(&got).into_owned()));
            }
        }
    }
}

impl Backend {
    async fn call(&self, path: String) {
        let idle = self.idle.lock().unwrap().pop();
        let mut to = match idle {
            Some(to) => to,
            None => {
                let to = TcpStream::connect(&*self.address).await.expect("connect");
                to.set_nodelay(true).expect("nodelay");
                to
            }
        };
        let request = format!("GET {} HTTP/1.1\r\nHost: backend\r\n\r\n", path);
        to.write_all(request.as_bytes()).await.expect("call");
        receive(&mut to, 3).await.expect("call").expect("the backend has gone");
        self.idle.lock().unwrap().push(to);
    }

    /// The calls of a request.
    async fn run(&self, shape: &str, id: &str) {
        let path = |op| format!("/d/{}/{}", id, op);
        match shape.trim_end_matches(REFRESHED).trim_end_matches(AWAITED) {
            "handler" => self.call(path("a")).await,
            "sequential" => {
                for op in ["a", "b", "c"] {
                    self.call(path(op)).await;
                }
            }
            "spawn" => {
                let (backend, path) = (self.clone(), path("a"));
                tokio::spawn(async move { backend.call(path).await }).await.unwrap();
            }
            "join" => {
                Join(vec![
                    Some(Box::pin(self.call(path("a")))),
                    Some(Box::pin(self.call(path("b")))),
                    Some(Box::pin(self.call(path("c")))),
                ])
                .await
            }
            "sleep" => {
                tokio::time::sleep(Duration::from_millis(2)).await;
                self.call(path("a")).await;
            }
            // A task that owns a connection makes the calls of all, one after the other.
            "actor" => {
                let (done, answer) = oneshot::channel();
                self.actors[id.bytes().map(usize::from).sum::<usize>() % self.actors.len()]
                    .send((path("a"), done))
                    .expect("an actor has gone");
                answer.await.expect("an actor has gone");
            }
            // A thread of the pool for what blocks.
            "blocking" => {
                let (address, path) = (self.address.clone(), path("a"));
                tokio::task::spawn_blocking(move || block(&address, &path)).await.unwrap();
            }
            _ => panic!("an unknown shape"),
        }
        if shape.ends_with(REFRESHED) {
            drop(self.read.lock().await);
        }
        if shape.ends_with(AWAITED) {
            let mut fresh = self.fresh.clone();
            while !*fresh.borrow_and_update() {
                fresh.changed().await.unwrap();
            }
        }
    }
}

const REFRESHED: &str = "-refreshed";
const AWAITED: &str = "-awaited";

/// What join! makes, whose crates take longest to build: all are polled by one task, in order.
struct Join<'a>(Vec<Option<Pin<Box<dyn Future<Output = ()> + Send + 'a>>>>);

impl Future for Join<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, by: &mut Context<'_>) -> Poll<()> {
        for f in &mut self.0 {
            if f.as_mut().map_or(false, |f| f.as_mut().poll(by).is_ready()) {
                *f = None;
            }
        }
        if self.0.iter().all(Option::is_none) {
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

thread_local! {
    static BLOCKING: RefCell<Option<std::net::TcpStream>> = RefCell::new(None);
}

/// A call on the thread's own connection.
fn block(address: &str, path: &str) {
    BLOCKING.with(|b| {
        let mut b = b.borrow_mut();
        let to = b.get_or_insert_with(|| std::net::TcpStream::connect(address).expect("connect"));
        let request = format!("GET {} HTTP/1.1\r\nHost: backend\r\n\r\n", path);
        to.write_all(request.as_bytes()).expect("call");
        let mut got = Vec::new();
        while !got.ends_with(b"\r\n\r\nok\n") {
            let mut part = [0; 1024];
            let n = to.read(&mut part).expect("call");
            assert_ne!(n, 0, "the backend has gone");
            got.extend_from_slice(&part[..n]);
        }
    })
}

async fn serve(mut on: TcpStream, backend: Backend, shape: &'static str) -> Result<()> {
    on.set_nodelay(true)?;
    while let Some(request) = receive(&mut on, 0).await? {
        let id = request.split("/r/").nth(1).and_then(|r| r.split(' ').next());
        backend.run(shape, id.unwrap_or("")).await;
        on.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n").await?;
    }
    Ok(())
}

async fn background(backend: Backend) {
    for n in 0.. {
        tokio::time::sleep(Duration::from_millis(4)).await;
        backend.call(format!("/d/bg/{}", n)).await;
    }
}

/// Lets no request read meanwhile.
async fn refresh(backend: Backend) {
    for n in 1000000.. {
        let mut read = backend.read.lock().await;
        backend.call(format!("/d/bg/{}", n)).await;
        *read = n;
        drop(read);
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
}

async fn renew(backend: Backend, fresh: watch::Sender<bool>) {
    for n in 1000000.. {
        tokio::time::sleep(Duration::from_millis(15)).await;
        fresh.send(false).unwrap();
        backend.call(format!("/d/bg/{}", n)).await;
        fresh.send(true).unwrap();
    }
}

async fn act(of: Backend, mut asked: mpsc::UnboundedReceiver<(String, oneshot::Sender<()>)>) {
    while let Some((path, done)) = asked.recv().await {
        of.call(path).await;
        let _ = done.send(());
    }
}

async fn listen(address: Arc<str>, actors: usize, shape: &'static str) -> Result<()> {
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..actors).map(|_| mpsc::unbounded_channel()).unzip();
    let (now, fresh) = watch::channel(true);
    let backend = Backend { address, idle: Arc::default(), actors: senders.into(), read: Arc::default(), fresh };
    for asked in receivers {
        tokio::spawn(act(backend.clone(), asked));
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    tokio::spawn(background(backend.clone()));
    if shape.ends_with(REFRESHED) {
        tokio::spawn(refresh(backend.clone()));
    }
    if shape.ends_with(AWAITED) {
        tokio::spawn(renew(backend.clone(), now));
    }
    loop {
        let (on, _) = listener.accept().await?;
        tokio::spawn(serve(on, backend.clone(), shape));
    }
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let shape: &'static str = Box::leak(args[1].clone().into_boxed_str());
    let actors = args[3].parse().expect("the size of the pool");
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    let mut runtime = match args.get(4).map_or("", |r| r) {
        "current" => Builder::new_current_thread(),
        "multi" => Builder::new_multi_thread(),
        _ => panic!("an unknown runtime"),
    };
    runtime.worker_threads(4).enable_all().build()?.block_on(listen(args[2].as_str().into(), actors, shape))
}
