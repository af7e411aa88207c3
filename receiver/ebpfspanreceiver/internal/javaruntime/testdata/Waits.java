import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.Scanner;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.FutureTask;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.Semaphore;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.LockSupport;
import java.util.concurrent.locks.ReentrantLock;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import java.util.concurrent.locks.StampedLock;

/**
 * One thread serves a connection, another one calls the server whose port comes first on standard input. A request
 * says how the first waits for the second; it does so when that has begun. Two more threads wait for ever, for a monitor
 * and for a lock. Prints its port, and ends with its standard input.
 */
public class Waits {
    static final LinkedBlockingQueue<Runnable> tasks = new LinkedBlockingQueue<>();
    static volatile boolean begun;
    static Socket backend;
    static long counted;

    /** What the worker does, before and after which the other one may go on. */
    interface Step {
        void run() throws Exception;
    }

    static void quietly(Step s) {
        try {
            s.run();
        } catch (Exception e) {
            e.printStackTrace();
            System.exit(1);
        }
    }

    static void call() throws Exception {
        begun = true;
        backend.getOutputStream().write("call".getBytes());
        backend.getInputStream().read(new byte[64]);
    }

    /** The worker does first, calls, and does last; meanwhile the current thread waits. */
    static void with(Step first, Step last, Step wait) throws Exception {
        begun = false;
        tasks.add(() -> quietly(() -> {
            first.run();
            call();
            last.run();
        }));
        while (!begun) {
            Thread.onSpinWait();
        }
        wait.run();
    }

    static void none() {
    }

    static void serve(String how) throws Exception {
        ReentrantLock lock = new ReentrantLock(how.equals("fair"));
        ReentrantReadWriteLock both = new ReentrantReadWriteLock(how.equals("writefair"));
        StampedLock stamped = new StampedLock();
        Semaphore permits = new Semaphore(1, how.equals("permitfair"));
        Object monitor = new Object();
        Thread self = Thread.currentThread();
        switch (how) {
        case "monitor":
            begun = false;
            tasks.add(() -> {
                synchronized (monitor) {
                    quietly(Waits::call);
                }
            });
            while (!begun) {
                Thread.onSpinWait();
            }
            synchronized (monitor) {
                counted++;
            }
            return;
        case "reentrant":
        case "fair":
            with(lock::lock, lock::unlock, () -> {
                lock.lock();
                lock.unlock();
            });
            return;
        case "read":
            with(both.writeLock()::lock, both.writeLock()::unlock, () -> {
                both.readLock().lock();
                both.readLock().unlock();
            });
            return;
        case "write":
        case "writefair":
            with(both.readLock()::lock, both.readLock()::unlock, () -> {
                both.writeLock().lock();
                both.writeLock().unlock();
            });
            return;
        case "stamped":
            long[] stamp = new long[1];
            with(() -> stamp[0] = stamped.writeLock(), () -> stamped.unlockWrite(stamp[0]),
                () -> stamped.unlockRead(stamped.readLock()));
            return;
        case "permit":
        case "permitfair":
            with(permits::acquire, permits::release, () -> {
                permits.acquire();
                permits.release();
            });
            return;
        case "notify":
            boolean[] told = new boolean[1];
            with(Waits::none, () -> {
                synchronized (monitor) {
                    told[0] = true;
                    monitor.notify();
                }
            }, () -> {
                synchronized (monitor) {
                    while (!told[0]) {
                        monitor.wait();
                    }
                }
            });
            return;
        case "condition":
            Condition condition = lock.newCondition();
            boolean[] come = new boolean[1];
            with(Waits::none, () -> {
                lock.lock();
                come[0] = true;
                condition.signal();
                lock.unlock();
            }, () -> {
                lock.lock();
                while (!come[0]) {
                    condition.await();
                }
                lock.unlock();
            });
            return;
        case "park":
            boolean[] parked = new boolean[1];
            with(Waits::none, () -> {
                parked[0] = true;
                LockSupport.unpark(self);
            }, () -> {
                while (!parked[0]) {
                    LockSupport.park();
                }
            });
            return;
        case "future":
            FutureTask<Integer> future = new FutureTask<>((Callable<Integer>) () -> {
                call();
                return 1;
            });
            begun = false;
            tasks.add(future);
            future.get();
            return;
        case "completable":
            CompletableFuture<Integer> completable = new CompletableFuture<>();
            with(Waits::none, () -> completable.complete(1), completable::get);
            return;
        case "latch":
            CountDownLatch latch = new CountDownLatch(1);
            with(Waits::none, latch::countDown, latch::await);
            return;
        case "queue":
            LinkedBlockingQueue<Integer> queue = new LinkedBlockingQueue<>();
            with(Waits::none, () -> queue.add(1), queue::take);
            return;
        case "synchronous":
            SynchronousQueue<Integer> synchronous = new SynchronousQueue<>();
            with(Waits::none, () -> synchronous.put(1), synchronous::take);
            return;
        default:
            throw new IllegalArgumentException(how);
        }
    }

    static void start(Step s) {
        Thread t = new Thread(() -> quietly(s));
        t.setDaemon(true);
        t.start();
    }

    static void accept(ServerSocket on) throws Exception {
        try (Socket s = on.accept()) {
            InputStream in = s.getInputStream();
            OutputStream out = s.getOutputStream();
            byte[] b = new byte[64];
            for (int n; (n = in.read(b)) > 0;) {
                serve(new String(b, 0, n));
                out.write("answer".getBytes());
            }
        }
        System.out.println("done");
    }

    public static void main(String[] args) throws Exception {
        Scanner in = new Scanner(System.in);
        int port = in.nextInt();
        ServerSocket on = new ServerSocket(0, 8, InetAddress.getByName("127.0.0.1"));
        Object held = new Object();
        ReentrantLock kept = new ReentrantLock();
        kept.lock();
        start(() -> {
            if (port != 0) {
                backend = new Socket("127.0.0.1", port);
            }
            for (;;) {
                tasks.take().run();
            }
        });
        start(() -> accept(on));
        start(kept::lock);
        synchronized (held) {
            start(() -> {
                synchronized (held) {
                    counted++;
                }
            });
            System.out.println(on.getLocalPort());
            while (System.in.read() >= 0) {
            }
        }
        System.exit(0);
    }
}
