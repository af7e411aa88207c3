/** Has garbage collected all the time, where the environment says so: GARBAGE of the contract in program.go. */
final class Garbage {
    private Garbage() {
    }

    static void start() {
        if (System.getenv("GARBAGE") == null) {
            return;
        }
        Thread t = new Thread(() -> {
            try {
                for (;;) {
                    System.gc();
                    Thread.sleep(5);
                }
            } catch (InterruptedException e) {
                throw new IllegalStateException(e);
            }
        });
        t.setDaemon(true);
        t.start();
    }
}
