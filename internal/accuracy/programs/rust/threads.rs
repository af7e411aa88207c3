// SPDX-License-Identifier: Apache-2.0

//! A server with a thread for each connection. Arguments: shape, address of the backend, size of the pool.
//! It prints its address, and ends with its standard input. Nothing but std of Rust 1.63.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{mpsc, Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// How the calls of an id, of a request or of none, are made.
type Run = Arc<dyn Fn(&str) + Send + Sync>;

type Task = Box<dyn FnOnce() + Send>;

thread_local! {
    /// A connection to the backend, of one thread.
    static BACKEND: RefCell<Option<TcpStream>> = RefCell::new(None);
}

fn address() -> String {
    std::env::args().nth(2).expect("the backend's address")
}

/// Reads one message: its head, and length bytes. None at the end.
fn receive(from: &mut TcpStream, length: usize) -> Result<Option<String>> {
    let mut got = Vec::new();
    let mut part = [0; 4096];
    loop {
        let n = from.read(&mut part)?;
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

fn call(path: &str) {
    BACKEND.with(|b| {
        let mut b = b.borrow_mut();
        let to = b.get_or_insert_with(|| {
            let to = TcpStream::connect(address()).expect("connect");
            to.set_nodelay(true).expect("nodelay");
            to
        });
        let request = format!("GET {} HTTP/1.1\r\nHost: backend\r\n\r\n", path);
        to.write_all(request.as_bytes()).expect("call");
        receive(to, 3).expect("call").expect("the backend has gone");
    });
}

fn call_op(id: &str, op: &str) {
    call(&format!("/d/{}/{}", id, op));
}

/// Workers that share one receiver, as the book on Rust has them: who waits for a task holds the lock.
fn channel_pool(size: usize) -> mpsc::Sender<Task> {
    let (give, take) = mpsc::channel::<Task>();
    let take = Arc::new(Mutex::new(take));
    for _ in 0..size {
        let take = Arc::clone(&take);
        thread::spawn(move || loop {
            let task = take.lock().unwrap().recv();
            match task {
                Ok(task) => task(),
                Err(_) => return,
            }
        });
    }
    give
}

#[derive(Default)]
struct Queue {
    tasks: Mutex<VecDeque<Task>>,
    some: Condvar,
}

fn condvar_pool(size: usize) -> Arc<Queue> {
    let queue = Arc::new(Queue::default());
    for _ in 0..size {
        let queue = Arc::clone(&queue);
        thread::spawn(move || loop {
            let waiting = queue.tasks.lock().unwrap();
            let task = queue.some.wait_while(waiting, |t| t.is_empty()).unwrap().pop_front();
            task.unwrap()();
        });
    }
    queue
}

/// The pool runs the task, and its result comes through a channel of its own.
fn by_channel(size: usize, task: fn(&str)) -> Run {
    let pool = Mutex::new(channel_pool(size));
    Arc::new(move |id: &str| {
        let (done, result) = mpsc::channel();
        let id = id.to_string();
        let run = move || {
            task(&id);
            done.send(()).expect("a result that nobody waits for");
        };
        pool.lock().unwrap().send(Box::new(run)).expect("give");
        result.recv().expect("no result");
    })
}

/// Three tasks at once, their results by one channel.
fn fan_out(size: usize) -> Run {
    let pool = Mutex::new(channel_pool(size));
    Arc::new(move |id: &str| {
        let (done, results) = mpsc::channel();
        for op in ["a", "b", "c"] {
            let (done, id) = (done.clone(), id.to_string());
            let run = move || {
                call_op(&id, op);
                done.send(()).expect("a result that nobody waits for");
            };
            pool.lock().unwrap().send(Box::new(run)).expect("give");
        }
        assert_eq!(results.iter().take(3).count(), 3);
    })
}

fn by_condvar(size: usize) -> Run {
    let pool = condvar_pool(size);
    Arc::new(move |id: &str| {
        let place = Arc::new((Mutex::new(false), Condvar::new()));
        let (its, id) = (Arc::clone(&place), id.to_string());
        let run = move || {
            call_op(&id, "a");
            *its.0.lock().unwrap() = true;
            its.1.notify_one();
        };
        pool.tasks.lock().unwrap().push_back(Box::new(run));
        pool.some.notify_one();
        drop(place.1.wait_while(place.0.lock().unwrap(), |done| !*done).unwrap());
    })
}

fn one(id: &str) {
    call_op(id, "a");
}

/// No call in every second task.
fn one_or_none(id: &str) {
    static TASKS: AtomicUsize = AtomicUsize::new(0);
    if TASKS.fetch_add(1, Relaxed) % 2 == 0 {
        one(id);
    }
}

/// A Mutex that is held for long enough to be waited for.
fn contend() {
    static HELD: Mutex<u64> = Mutex::new(0);
    let mut held = HELD.lock().unwrap();
    for i in 0..20000 {
        *held = held.wrapping_mul(31).wrapping_add(i) ^ (*held >> 7);
    }
}

fn one_then_lock(id: &str) {
    one(id);
    contend();
}

/// Requests read what another thread refreshes, which lets none read meanwhile.
fn refreshed(run: Run) -> Run {
    static READ: Mutex<u64> = Mutex::new(0);
    thread::spawn(|| {
        for n in 1000000.. {
            let mut read = READ.lock().unwrap();
            call(&format!("/d/bg/{}", n));
            *read = n;
            drop(read);
            thread::sleep(Duration::from_millis(15));
        }
    });
    Arc::new(move |id: &str| {
        run(id);
        drop(READ.lock().unwrap());
    })
}

/// Requests wait for a call of another thread.
fn awaited(run: Run) -> Run {
    static READ: (Mutex<bool>, Condvar) = (Mutex::new(true), Condvar::new());
    thread::spawn(|| {
        for n in 1000000.. {
            thread::sleep(Duration::from_millis(15));
            *READ.0.lock().unwrap() = false;
            call(&format!("/d/bg/{}", n));
            *READ.0.lock().unwrap() = true;
            READ.1.notify_all();
        }
    });
    Arc::new(move |id: &str| {
        run(id);
        drop(READ.1.wait_while(READ.0.lock().unwrap(), |fresh| !*fresh).unwrap());
    })
}

fn three(id: &str) {
    for op in ["a", "b", "c"] {
        call_op(id, op);
    }
}

fn shape(name: &str, size: usize) -> Option<Run> {
    Some(match name {
        "thread" => Arc::new(one),
        "sequential" => Arc::new(three),
        "spawn" => Arc::new(|id: &str| {
            let id = id.to_string();
            thread::spawn(move || one(&id)).join().unwrap();
        }),
        "spawn-sequential" => Arc::new(|id: &str| {
            let id = id.to_string();
            thread::spawn(move || three(&id)).join().unwrap();
        }),
        "scope" => Arc::new(|id: &str| {
            thread::scope(|s| {
                for op in ["a", "b", "c"] {
                    s.spawn(move || call_op(id, op));
                }
            });
        }),
        "pool-channel" => by_channel(size, one),
        "pool-channel-sequential" => by_channel(size, three),
        "pool-channel-mixed" => by_channel(size, one_or_none),
        "pool-channel-fan-out" => fan_out(size),
        "pool-condvar" => by_condvar(size),
        "pool-refreshed" => refreshed(by_channel(size, one)),
        "pool-awaited" => awaited(by_channel(size, one)),
        "pool-locked" => {
            let run = by_channel(size, one_then_lock);
            Arc::new(move |id: &str| {
                contend();
                run(id);
                contend();
            })
        }
        _ => return None,
    })
}

fn serve(mut on: TcpStream, run: Run) -> Result<()> {
    on.set_nodelay(true)?;
    while let Some(request) = receive(&mut on, 0)? {
        let id = request.split("/r/").nth(1).and_then(|r| r.split(' ').next());
        run(id.unwrap_or(""));
        on.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")?;
    }
    Ok(())
}

/// Calls of no request: in turn by this thread, and as requests make theirs.
fn background(run: Run) {
    for n in 0.. {
        thread::sleep(Duration::from_millis(4));
        if n % 2 == 0 {
            call(&format!("/d/bg/{}", n));
        } else {
            run(&format!("bg/{}", n));
        }
    }
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let size = args.get(3).and_then(|n| n.parse().ok()).unwrap_or(2);
    let run = shape(args.get(1).map_or("", |s| s), size).expect("an unknown shape");
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    let (mine, theirs) = (Arc::clone(&run), run);
    thread::spawn(move || background(mine));
    thread::spawn(move || {
        for on in listener.incoming() {
            let run = Arc::clone(&theirs);
            thread::spawn(move || serve(on.expect("accept"), run));
        }
    });
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
