import java.io.InputStream;
import java.net.Socket;
import java.util.ArrayList;
import java.util.List;

/**
 * Threads of the kinds that the VM has connect to a server whose port is the argument, and send requests
 * that say who they are: /platform/0 or /virtual/<java.lang.Thread.tid>. Ends with its standard input.
 */
public class Contexts {
    public static void main(String[] args) throws Exception {
        System.out.println("ready");
        System.in.read();
        int port = Integer.parseInt(args[0]);
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < 8; i++) {
            Thread t = new Thread(() -> ask(port, "/platform/0"));
            t.start();
            threads.add(t);
        }
        try {
            var start = Thread.class.getMethod("startVirtualThread", Runnable.class);
            for (int i = 0; i < 32; i++) {
                threads.add((Thread) start.invoke(null, (Runnable) () -> {
                    try {
                        ask(port, "/virtual/" + Thread.class.getMethod("threadId").invoke(Thread.currentThread()));
                    } catch (ReflectiveOperationException e) {
                        throw new IllegalStateException(e);
                    }
                }));
            }
        } catch (NoSuchMethodException e) {
            // this VM has none
        }
        for (Thread t : threads) {
            t.join();
        }
        System.out.println("done");
        while (System.in.read() >= 0) {
        }
    }

    static void ask(int port, String path) {
        byte[] garbage;
        try (Socket s = new Socket("127.0.0.1", port)) {
            InputStream in = s.getInputStream();
            for (int i = 0; i < 10; i++) {
                garbage = new byte[1 << 16];
                s.getOutputStream().write(("GET " + path + " HTTP/1.1\r\nHost: test\r\n\r\n").getBytes());
                byte[] b = new byte[4096];
                if (in.read(b) < 0) {
                    throw new IllegalStateException("closed");
                }
                Thread.sleep(2);
            }
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
    }
}
