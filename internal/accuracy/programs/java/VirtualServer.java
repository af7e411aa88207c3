import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.HttpURLConnection;
import java.net.InetSocketAddress;
import java.net.URI;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;

/**
 * A server with a virtual thread for each request, which calls the backend in one of the ways of serve.
 * Connections to the backend are kept, and taken by whichever thread is next. Arguments and behaviour are
 * those of the contract in program.go.
 */
public class VirtualServer {
    static String shape, backend;
    static final ExecutorService virtual = Executors.newVirtualThreadPerTaskExecutor();
    static ExecutorService platform;
    static final Object[] monitors = new Object[64];
    static volatile Object garbage;

    public static void main(String[] args) throws Exception {
        Garbage.start();
        shape = args[0];
        backend = "http://" + args[1];
        platform = Executors.newFixedThreadPool(Integer.parseInt(args[2]), daemon());
        for (int i = 0; i < monitors.length; i++) {
            monitors[i] = new Object();
        }
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 1024);
        server.createContext("/", VirtualServer::handle);
        server.setExecutor(virtual);
        server.start();
        System.out.println("127.0.0.1:" + server.getAddress().getPort());
        background();
        while (System.in.read() >= 0) {
        }
        System.exit(0);
    }

    static java.util.concurrent.ThreadFactory daemon() {
        return Thread.ofPlatform().daemon().factory();
    }

    /** Calls that belong to no request, from a timer and from a virtual thread. */
    static void background() {
        Executors.newSingleThreadScheduledExecutor(daemon())
                .scheduleWithFixedDelay(() -> quietly("/d/bg/1"), 5, 5, TimeUnit.MILLISECONDS);
        Thread.ofVirtual().start(() -> {
            for (;;) {
                quietly("/d/bg/2");
                pause(5);
            }
        });
    }

    static final List<HttpExchange> waiting = new ArrayList<>();

    /** Puts a request down and takes up any, as workers of one queue do. */
    static HttpExchange swap(HttpExchange x) {
        synchronized (waiting) {
            waiting.add(x);
        }
        pause(3);
        synchronized (waiting) {
            return waiting.remove(ThreadLocalRandom.current().nextInt(waiting.size()));
        }
    }

    static void handle(HttpExchange x) throws IOException {
        if (shape.equals("swap")) {
            x = swap(x);
        }
        String path = "/d/" + x.getRequestURI().getPath().substring("/r/".length()) + "/";
        int status = 200;
        try {
            serve(path);
        } catch (Exception e) {
            e.printStackTrace();
            status = 500;
        }
        garbage = new byte[64 << 10];
        byte[] body = "ok\n".getBytes();
        x.sendResponseHeaders(status, body.length);
        x.getResponseBody().write(body);
        x.close();
        if (shape.equals("late")) {
            pause(3);
            quietly("/d/bg/late-" + path.split("/")[2]);
        }
    }

    static void serve(String path) throws Exception {
        switch (shape) {
            case "direct", "late", "swap" -> call(path + "a");
            case "sequential" -> {
                call(path + "a");
                call(path + "b");
                call(path + "c");
            }
            case "sleep" -> {
                pause(ThreadLocalRandom.current().nextInt(1, 10));
                call(path + "a");
                pause(ThreadLocalRandom.current().nextInt(1, 10));
                call(path + "b");
            }
            case "monitor" -> {
                call(path + "a");
                synchronized (monitors[ThreadLocalRandom.current().nextInt(monitors.length)]) {
                    call(path + "b");
                }
            }
            case "platform" -> {
                call(path + "a");
                platform.submit(() -> call(path + "b")).get();
            }
            case "fanout" -> {
                List<Future<?>> all = new ArrayList<>();
                for (String op : List.of("a", "b", "c")) {
                    all.add(virtual.submit(() -> {
                        pause(ThreadLocalRandom.current().nextInt(1, 5));
                        call(path + op);
                        return null;
                    }));
                }
                for (Future<?> f : all) {
                    f.get();
                }
            }
            default -> throw new IllegalArgumentException(shape);
        }
    }

    static Void call(String path) throws IOException {
        HttpURLConnection c = (HttpURLConnection) URI.create(backend + path).toURL().openConnection();
        c.getInputStream().readAllBytes();
        return null;
    }

    static void quietly(String path) {
        try {
            call(path);
        } catch (IOException e) {
            // the backend ends first
        }
    }

    static void pause(int ms) {
        try {
            Thread.sleep(Duration.ofMillis(ms));
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }
}
