import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;

/**
 * A server with a thread for each request that calls through java.net.http, whose own threads read and
 * write: it waits for the response ("client"), or leaves the answer to the client's threads
 * ("client-async"). Arguments and behaviour are those of the contract in program.go.
 */
public class ClientServer {
    static String shape, backend;
    static final HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

    public static void main(String[] args) throws Exception {
        Garbage.start();
        shape = args[0];
        backend = "http://" + args[1];
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 1024);
        server.createContext("/", ClientServer::handle);
        server.setExecutor(Executors.newCachedThreadPool(ClientServer::daemon));
        server.start();
        System.out.println("127.0.0.1:" + server.getAddress().getPort());
        Executors.newSingleThreadScheduledExecutor(ClientServer::daemon).scheduleWithFixedDelay(
                () -> client.sendAsync(request("/d/bg/1"), BodyHandlers.ofString()), 5, 5, TimeUnit.MILLISECONDS);
        while (System.in.read() >= 0) {
        }
        System.exit(0);
    }

    static Thread daemon(Runnable r) {
        Thread t = new Thread(r);
        t.setDaemon(true);
        return t;
    }

    static HttpRequest request(String path) {
        return HttpRequest.newBuilder(URI.create(backend + path)).build();
    }

    static void handle(HttpExchange x) throws IOException {
        HttpRequest r = request("/d/" + x.getRequestURI().getPath().substring("/r/".length()) + "/a");
        if (shape.equals("client-async")) {
            client.sendAsync(r, BodyHandlers.ofString()).thenAccept(response -> respond(x));
            return;
        }
        try {
            client.send(r, BodyHandlers.ofString());
        } catch (InterruptedException e) {
            throw new IOException(e);
        }
        respond(x);
    }

    static void respond(HttpExchange x) {
        byte[] body = "ok\n".getBytes();
        try (x) {
            x.sendResponseHeaders(200, body.length);
            x.getResponseBody().write(body);
        } catch (IOException e) {
            // the client has gone
        }
    }
}
