import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/**
 * A pool whose threads have run many tasks, as compiled code, and then run one each until a line is read. Says "ready"
 * then, "done" when they have ended it, and ends with its standard input.
 */
public class Tasks {
    static final CountDownLatch go = new CountDownLatch(1);
    static volatile long work;

    public static void main(String[] args) throws Exception {
        int threads = Integer.parseInt(args[0]);
        ExecutorService pool = Executors.newFixedThreadPool(threads);
        for (int i = 0; i < 50_000; i++) {
            run(pool, () -> work++).get();
        }
        CountDownLatch started = new CountDownLatch(threads);
        Future<?>[] last = new Future<?>[threads];
        for (int i = 0; i < threads; i++) {
            last[i] = run(pool, () -> {
                started.countDown();
                go.await();
                return work;
            });
        }
        started.await();
        System.out.println("ready");
        System.in.read();
        go.countDown();
        for (Future<?> f : last) {
            f.get();
        }
        System.out.println("done");
        System.in.read();
        System.exit(0);
    }

    static Future<?> run(ExecutorService pool, Callable<Long> task) {
        return pool.submit(task);
    }
}
