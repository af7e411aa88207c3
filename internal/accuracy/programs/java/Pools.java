// SPDX-License-Identifier: Apache-2.0

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.ForkJoinTask;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.ReentrantLock;

/**
 * A server with a thread for each connection, whose calls are made by the threads of a pool. Arguments:
 * shape, address of the backend, size of the pool. It prints its address, and ends with its standard input.
 */
public final class Pools {
    private interface Shape {
        void run(String id, long n) throws Exception;
    }

    private static String host;
    private static int port, size;
    private static ExecutorService pool, second;
    private static final ReentrantLock lock = new ReentrantLock();
    private static final Object monitor = new Object();
    private static Semaphore permits;
    private static final AtomicLong served = new AtomicLong();
    private static volatile long work;

    /** A connection to the backend, of one thread. */
    private static final ThreadLocal<Socket> backend = ThreadLocal.withInitial(() -> {
        try {
            Socket s = new Socket(host, port);
            s.setTcpNoDelay(true);
            return s;
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    });

    private static String call(String path) {
        try {
            Socket s = backend.get();
            s.getOutputStream().write(
                ("GET " + path + " HTTP/1.1\r\nHost: backend\r\n\r\n").getBytes(StandardCharsets.US_ASCII));
            String head = receive(s.getInputStream(), 3);
            if (head == null) {
                throw new IOException("the backend has gone");
            }
            return head;
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    private static String callLocked(String path) {
        String r = call(path);
        lock.lock();
        try {
            burn();
        } finally {
            lock.unlock();
        }
        return r;
    }

    private static String callMonitor(String path) {
        String r = call(path);
        synchronized (monitor) {
            burn();
        }
        return r;
    }

    /** As a pool of connections does it that is smaller than the pool of threads. */
    private static String callPermit(String path) {
        permits.acquireUninterruptibly();
        try {
            return call(path);
        } finally {
            permits.release();
        }
    }

    /** Refreshes what all requests read, and lets none read meanwhile. */
    private static void refresh(boolean locked) {
        for (long n = 0;; n++) {
            if (locked) {
                lock.lock();
                try {
                    call("/d/bg/" + (1000000 + n));
                } finally {
                    lock.unlock();
                }
            } else {
                synchronized (monitor) {
                    call("/d/bg/" + (1000000 + n));
                }
            }
            try {
                Thread.sleep(15);
            } catch (InterruptedException e) {
                throw new IllegalStateException(e);
            }
        }
    }

    private static volatile CompletableFuture<String> news = CompletableFuture.completedFuture("");
    private static final AtomicLong refreshes = new AtomicLong(1000000);

    /** Refreshes what all requests wait for, now and then, on threads of its own. */
    private static void refreshAtTimes() {
        ScheduledExecutorService timer = Executors.newScheduledThreadPool(2);
        for (int i = 0; i < 2; i++) {
            timer.scheduleWithFixedDelay(() -> {
                CompletableFuture<String> mine = new CompletableFuture<>();
                news = mine;
                mine.complete(call("/d/bg/" + refreshes.incrementAndGet()));
            }, 15, 15, TimeUnit.MILLISECONDS);
        }
    }

    private static final ConcurrentHashMap<String, CompletableFuture<String>> flights = new ConcurrentHashMap<>();

    /** A call of which there is one at a time: who comes meanwhile waits for its result, too. */
    private static void fly(String id) throws Exception {
        CompletableFuture<String> f = flights.computeIfAbsent("news",
            k -> CompletableFuture.supplyAsync(() -> call("/d/" + id + "/b"), second));
        f.get();
        flights.remove("news", f);
    }

    private static void burn() {
        long x = work;
        for (int i = 0; i < 20000; i++) {
            x = x * 31 + i;
        }
        work = x;
    }

    /** A call that waits in a queue of everybody's. */
    private static final class Item {
        private final String path;
        private final CompletableFuture<String> result = new CompletableFuture<>();

        Item(String path) {
            this.path = path;
        }

        void run() {
            result.complete(call(path));
        }
    }

    private static final ConcurrentLinkedQueue<Item> items = new ConcurrentLinkedQueue<>();
    private static final LinkedBlockingQueue<Item> blocking = new LinkedBlockingQueue<>();
    private static final AtomicInteger queued = new AtomicInteger();
    private static final AtomicInteger loops = new AtomicInteger();

    /** Makes all calls that wait, whoever wants them, and those that come meanwhile. */
    private static void drain() {
        int left;
        do {
            items.poll().run();
            left = queued.decrementAndGet();
        } while (left > 0);
    }

    private static Future<String> submit(Callable<String> task) {
        return pool.submit(task);
    }

    private static Shape shape(String name) {
        switch (name) {
        case "future":
        case "cached":
            return (id, n) -> submit(() -> call("/d/" + id + "/a")).get();
        case "sequence":
            return (id, n) -> submit(() -> {
                call("/d/" + id + "/a");
                call("/d/" + id + "/b");
                return call("/d/" + id + "/c");
            }).get();
        case "mixed":
            return (id, n) -> submit(n % 2 == 0 ? () -> call("/d/" + id + "/a") : () -> "").get();
        case "completable":
            return (id, n) -> CompletableFuture.supplyAsync(() -> "/d/" + id + "/a", pool)
                .thenApplyAsync(Pools::call, second).join();
        case "completable-first":
            return (id, n) -> CompletableFuture.supplyAsync(() -> call("/d/" + id + "/a"), pool)
                .thenApplyAsync(s -> s + s, second).join();
        case "forkjoin":
            return (id, n) -> ((ForkJoinPool) pool).submit(() -> call("/d/" + id + "/a")).get();
        case "invokeall":
        case "invokeall-mixed":
            return (id, n) -> {
                List<Callable<String>> tasks = new ArrayList<>();
                for (String op : new String[] {"a", "b", "c"}) {
                    tasks.add(name.equals("invokeall") || !op.equals("b") ? () -> call("/d/" + id + "/" + op) : () -> "");
                }
                for (Future<String> f : pool.invokeAll(tasks)) {
                    f.get();
                }
            };
        case "spawn":
            return (id, n) -> {
                Thread t = new Thread(() -> {
                    call("/d/" + id + "/a");
                    try {
                        backend.get().close();
                    } catch (IOException e) {
                        throw new IllegalStateException(e);
                    }
                });
                t.start();
                t.join();
            };
        case "execute":
            return (id, n) -> {
                submit(() -> call("/d/" + id + "/a")).get();
                CompletableFuture<String> result = new CompletableFuture<>();
                pool.execute(() -> result.complete(call("/d/" + id + "/b")));
                result.get();
            };
        case "nested":
            return (id, n) -> submit(() -> second.submit(() -> call("/d/" + id + "/a")).get()).get();
        case "drain":
            // One task at a time empties the queue: it was made by who found that empty.
            return (id, n) -> {
                Item item = new Item("/d/" + id + "/a");
                items.add(item);
                if (queued.getAndIncrement() == 0) {
                    pool.submit(Pools::drain);
                }
                item.result.get();
            };
        case "loops":
            // The first requests start the tasks that work for all.
            return (id, n) -> {
                Item item = new Item("/d/" + id + "/a");
                blocking.add(item);
                if (loops.getAndIncrement() < size) {
                    pool.submit(() -> {
                        for (;;) {
                            blocking.take().run();
                        }
                    });
                }
                item.result.get();
            };
        case "locked":
            return (id, n) -> {
                lock.lock();
                try {
                    burn();
                } finally {
                    lock.unlock();
                }
                submit(() -> callLocked("/d/" + id + "/a")).get();
            };
        case "monitor":
            return (id, n) -> {
                synchronized (monitor) {
                    burn();
                }
                submit(() -> callMonitor("/d/" + id + "/a")).get();
            };
        case "refreshed-monitor":
            start(() -> refresh(false));
            return (id, n) -> {
                submit(() -> call("/d/" + id + "/a")).get();
                synchronized (monitor) {
                    work++;
                }
            };
        case "refreshed-lock":
            start(() -> refresh(true));
            return (id, n) -> {
                submit(() -> call("/d/" + id + "/a")).get();
                lock.lock();
                try {
                    work++;
                } finally {
                    lock.unlock();
                }
            };
        case "awaited":
            refreshAtTimes();
            return (id, n) -> {
                submit(() -> call("/d/" + id + "/a")).get();
                news.get();
            };
        case "single-flight":
            return (id, n) -> {
                submit(() -> call("/d/" + id + "/a")).get();
                fly(id);
            };
        case "permits":
            // The connection's thread takes one first, in every second request.
            return (id, n) -> {
                if (n % 2 == 0) {
                    callPermit("/d/" + id + "/a");
                } else {
                    submit(() -> callPermit("/d/" + id + "/a")).get();
                }
            };
        default:
            throw new IllegalArgumentException(name);
        }
    }

    /** Reads one message whose end is known: its head, and length bytes. Returns its first line, or null. */
    private static String receive(InputStream in, int length) throws IOException {
        byte[] buf = new byte[4096];
        int got = 0;
        while (got < buf.length) {
            int n = in.read(buf, got, buf.length - got);
            if (n <= 0) {
                return null;
            }
            got += n;
            String text = new String(buf, 0, got, StandardCharsets.US_ASCII);
            int end = text.indexOf("\r\n\r\n");
            if (end >= 0 && got >= end + 4 + length) {
                return text.substring(0, text.indexOf("\r\n"));
            }
        }
        return null;
    }

    private static void serve(Socket s, Shape shape) {
        byte[] ok = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n".getBytes(StandardCharsets.US_ASCII);
        try (s) {
            s.setTcpNoDelay(true);
            OutputStream out = s.getOutputStream();
            for (String line; (line = receive(s.getInputStream(), 0)) != null;) {
                shape.run(line.split(" ")[1].substring("/r/".length()), served.incrementAndGet());
                out.write(ok);
            }
        } catch (IOException e) {
            // the client has gone
        } catch (Exception e) {
            e.printStackTrace();
            System.exit(1);
        }
    }

    private static void background(Shape shape) {
        try {
            for (long n = 0;; n++) {
                Thread.sleep(5);
                shape.run("bg/" + n, n);
            }
        } catch (Exception e) {
            e.printStackTrace();
            System.exit(1);
        }
    }

    private static void start(Runnable r) {
        Thread t = new Thread(r);
        t.setDaemon(true);
        t.start();
    }

    public static void main(String[] args) throws Exception {
        Garbage.start();
        size = Integer.parseInt(args[2]);
        host = args[1].split(":")[0];
        port = Integer.parseInt(args[1].split(":")[1]);
        permits = new Semaphore(Math.max(1, size / 2));
        pool = args[0].equals("cached") ? Executors.newCachedThreadPool()
            : args[0].equals("forkjoin") ? new ForkJoinPool(size) : Executors.newFixedThreadPool(size);
        second = Executors.newFixedThreadPool(size);
        Shape shape = shape(args[0]);
        ServerSocket listener = new ServerSocket(0, 256, InetAddress.getByName("127.0.0.1"));
        System.out.println("127.0.0.1:" + listener.getLocalPort());
        start(() -> {
            try {
                for (;;) {
                    Socket s = listener.accept();
                    start(() -> serve(s, shape));
                }
            } catch (IOException e) {
                e.printStackTrace();
            }
        });
        start(() -> background(shape));
        System.in.read();
        System.exit(0);
    }
}
