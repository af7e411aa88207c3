// SPDX-License-Identifier: Apache-2.0

//! A server on tokio with a task for each connection. Arguments: shape, address of the backend, size of
//! pools (ignored), and the runtime: current (one thread) or multi. It prints its address, and ends with
//! its standard input.

use std::io::Result;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

/// Connections to the backend: a call takes one, and gives it back.
#[derive(Clone)]
struct Backend {
    address: Arc<str>,
    idle: Arc<Mutex<Vec<TcpStream>>>,
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
        match shape {
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
                tokio::join!(self.call(path("a")), self.call(path("b")), self.call(path("c")));
            }
            _ => panic!("an unknown shape"),
        }
    }
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

async fn listen(backend: Backend, shape: &'static str) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    tokio::spawn(background(backend.clone()));
    loop {
        let (on, _) = listener.accept().await?;
        tokio::spawn(serve(on, backend.clone(), shape));
    }
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let shape: &'static str = Box::leak(args[1].clone().into_boxed_str());
    let backend = Backend { address: args[2].as_str().into(), idle: Arc::default() };
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    let mut runtime = match args.get(4).map_or("", |r| r) {
        "current" => Builder::new_current_thread(),
        "multi" => Builder::new_multi_thread(),
        _ => panic!("an unknown runtime"),
    };
    runtime.worker_threads(4).enable_all().build()?.block_on(listen(backend, shape))
}
