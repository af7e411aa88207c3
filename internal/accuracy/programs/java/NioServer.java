import java.io.IOException;
import java.io.InputStream;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;

/**
 * An event loop that reads requests and writes responses, as the servers on top of NIO do. The calls are
 * made by a pool ("nio-loop": the loop is woken to write the response; "nio-worker": the worker writes it)
 * or by the loop itself ("nio-blocking"). Arguments and behaviour are those of the contract in program.go.
 */
public class NioServer {
    static String shape, host;
    static int port;
    static final Queue<Runnable> tasks = new ConcurrentLinkedQueue<>();

    public static void main(String[] args) throws Exception {
        Garbage.start();
        shape = args[0];
        host = args[1].substring(0, args[1].lastIndexOf(':'));
        port = Integer.parseInt(args[1].substring(args[1].lastIndexOf(':') + 1));
        ExecutorService pool = Executors.newFixedThreadPool(Integer.parseInt(args[2]), NioServer::daemon);
        ServerSocketChannel server = ServerSocketChannel.open().bind(new InetSocketAddress("127.0.0.1", 0), 1024);
        Selector selector = Selector.open();
        server.configureBlocking(false).register(selector, SelectionKey.OP_ACCEPT);
        System.out.println("127.0.0.1:" + ((InetSocketAddress) server.getLocalAddress()).getPort());
        Executors.newSingleThreadScheduledExecutor(NioServer::daemon)
                .scheduleWithFixedDelay(() -> quietly("/d/bg/1"), 5, 5, TimeUnit.MILLISECONDS);
        Thread end = daemon(() -> {
            try {
                while (System.in.read() >= 0) {
                }
            } catch (IOException e) {
                // it is closed as well
            }
            System.exit(0);
        });
        end.start();
        for (;;) {
            selector.select();
            for (SelectionKey k : selector.selectedKeys()) {
                if (k.isAcceptable()) {
                    SocketChannel c = server.accept();
                    c.setOption(StandardSocketOptions.TCP_NODELAY, true);
                    c.configureBlocking(false).register(selector, SelectionKey.OP_READ, new StringBuilder());
                } else if (k.isValid() && k.isReadable()) {
                    readable(k, selector, pool);
                }
            }
            selector.selectedKeys().clear();
            for (Runnable r; (r = tasks.poll()) != null;) {
                r.run();
            }
        }
    }

    static Thread daemon(Runnable r) {
        Thread t = new Thread(r);
        t.setDaemon(true);
        return t;
    }

    static void readable(SelectionKey k, Selector selector, ExecutorService pool) {
        SocketChannel c = (SocketChannel) k.channel();
        StringBuilder request = (StringBuilder) k.attachment();
        ByteBuffer b = ByteBuffer.allocate(8192);
        try {
            if (c.read(b) < 0) {
                c.close();
                return;
            }
            request.append(StandardCharsets.ISO_8859_1.decode(b.flip()));
            if (request.indexOf("\r\n\r\n") < 0) {
                return;
            }
            String path = "/d/" + request.substring("GET /r/".length(), request.indexOf(" HTTP")) + "/a";
            request.setLength(0);
            switch (shape) {
                case "nio-blocking" -> {
                    call(path);
                    respond(c);
                }
                case "nio-worker" -> pool.execute(() -> {
                    quietly(path);
                    respond(c);
                });
                case "nio-loop" -> pool.execute(() -> {
                    quietly(path);
                    tasks.add(() -> respond(c));
                    selector.wakeup();
                });
                default -> throw new IllegalArgumentException(shape);
            }
        } catch (IOException e) {
            k.cancel();
        }
    }

    static void respond(SocketChannel c) {
        try {
            c.write(ByteBuffer.wrap("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n".getBytes()));
        } catch (IOException e) {
            // the client has gone
        }
    }

    /** Each thread keeps a connection. */
    static final ThreadLocal<Socket> connection = new ThreadLocal<>();

    static void call(String path) throws IOException {
        Socket s = connection.get();
        if (s == null) {
            s = new Socket(host, port);
            s.setTcpNoDelay(true);
            connection.set(s);
        }
        s.getOutputStream().write(("GET " + path + " HTTP/1.1\r\nHost: backend\r\n\r\n").getBytes());
        InputStream in = s.getInputStream();
        byte[] b = new byte[4096];
        StringBuilder response = new StringBuilder();
        while (response.indexOf("\r\n\r\nok\n") < 0) {
            int n = in.read(b);
            if (n < 0) {
                throw new IOException("the backend has closed");
            }
            response.append(new String(b, 0, n, StandardCharsets.ISO_8859_1));
        }
    }

    static void quietly(String path) {
        try {
            call(path);
        } catch (IOException e) {
            // the backend ends first
        }
    }
}
