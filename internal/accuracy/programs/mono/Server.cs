// SPDX-License-Identifier: Apache-2.0

using System;
using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using System.Threading;
using System.Threading.Tasks;

// A server of .NET, whose calls are made in the ways in which its programs do. Arguments: shape, address of the
// backend, size of pools. It prints its address, and ends with its standard input.
static class Server
{
    delegate void Shape(string id);

    static IPEndPoint backend;
    static int size;
    static long work;
    static readonly object monitor = new object();
    static readonly BlockingCollection<Action> tasks = new BlockingCollection<Action>();
    // Connections that nobody uses at the moment, of the shapes that await.
    static readonly ConcurrentBag<Socket> idle = new ConcurrentBag<Socket>();

    [ThreadStatic] static Socket own;

    // Environment.Exit waits for threads that wait for the network.
    [DllImport("libc")] static extern void _exit(int status);

    static Socket Connect()
    {
        var s = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        s.Connect(backend);
        return s;
    }

    static byte[] Request(string path)
    {
        return Encoding.ASCII.GetBytes("GET " + path + " HTTP/1.1\r\nHost: backend\r\n\r\n");
    }

    // A message whose body has length bytes, as far as it has come.
    class Message
    {
        public readonly byte[] Buf = new byte[4096];
        public int Got;
        public string Text; // all of it; null: it ends before, or is too long
        readonly int length;

        public Message(int length) { this.length = length; }

        public int Room { get { return Buf.Length - Got; } }

        // Lacks more, now that n bytes have come: 0 where no more will.
        public bool Lacks(int n)
        {
            Got += n;
            var text = Encoding.ASCII.GetString(Buf, 0, Got);
            int end = text.IndexOf("\r\n\r\n");
            if (n > 0 && end >= 0 && Got >= end + 4 + length)
            {
                Text = text;
            }
            return n > 0 && Text == null && Room > 0;
        }
    }

    static string Receive(Socket s, int length)
    {
        var m = new Message(length);
        while (m.Lacks(s.Receive(m.Buf, m.Got, m.Room, SocketFlags.None)))
        {
        }
        return m.Text;
    }

    // Call is made by whoever runs it, on a connection of its thread.
    static void Call(string path)
    {
        if (own == null)
        {
            own = Connect();
        }
        own.Send(Request(path));
        if (Receive(own, 3) == null)
        {
            throw new Exception("the backend has gone");
        }
    }

    static async Task<string> ReceiveAsync(NetworkStream s, int length)
    {
        var m = new Message(length);
        while (m.Lacks(await s.ReadAsync(m.Buf, m.Got, m.Room).ConfigureAwait(false)))
        {
        }
        return m.Text;
    }

    static async Task CallAsync(string path)
    {
        Socket s;
        if (!idle.TryTake(out s))
        {
            s = Connect();
        }
        using (var stream = new NetworkStream(s, false))
        {
            var request = Request(path);
            await stream.WriteAsync(request, 0, request.Length).ConfigureAwait(false);
            if (await ReceiveAsync(stream, 3).ConfigureAwait(false) == null)
            {
                throw new Exception("the backend has gone");
            }
        }
        idle.Add(s);
    }

    static void Burn()
    {
        long x = work;
        for (int i = 0; i < 20000; i++)
        {
            x = x * 31 + i;
        }
        work = x;
    }

    static void InOwnPool(Action task)
    {
        using (var done = new ManualResetEventSlim())
        {
            tasks.Add(() => { task(); done.Set(); });
            done.Wait();
        }
    }

    static Shape ShapeOf(string name)
    {
        switch (name)
        {
        case "thread":
            return id => Call("/d/" + id + "/a");
        case "task":
            return id => Task.Run(() => Call("/d/" + id + "/a")).Wait();
        case "task-sequential":
            return id => Task.Run(() =>
            {
                Call("/d/" + id + "/a");
                Call("/d/" + id + "/b");
                Call("/d/" + id + "/c");
            }).Wait();
        case "task-fan-out":
            return id => Task.WaitAll(
                Task.Run(() => Call("/d/" + id + "/a")),
                Task.Run(() => Call("/d/" + id + "/b")),
                Task.Run(() => Call("/d/" + id + "/c")));
        case "task-monitor":
            return id =>
            {
                lock (monitor)
                {
                    Burn();
                }
                Task.Run(() =>
                {
                    Call("/d/" + id + "/a");
                    lock (monitor)
                    {
                        Burn();
                    }
                }).Wait();
            };
        case "collection":
            return id => InOwnPool(() => Call("/d/" + id + "/a"));
        case "spawn":
            return id =>
            {
                var t = new Thread(() =>
                {
                    Call("/d/" + id + "/a");
                    own.Close();
                });
                t.Start();
                t.Join();
            };
        case "wait-async":
            return id => CallAsync("/d/" + id + "/a").Wait();
        }
        throw new ArgumentException(name);
    }

    static readonly byte[] ok = Encoding.ASCII.GetBytes("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n");

    static string IdOf(string head) { return head.Split(' ')[1].Substring("/r/".Length); }

    static void Serve(Socket s, Shape shape)
    {
        try
        {
            s.NoDelay = true;
            for (string head; (head = Receive(s, 0)) != null;)
            {
                shape(IdOf(head));
                s.Send(ok);
            }
        }
        catch (SocketException)
        {
            // the client has gone
        }
        catch (Exception e)
        {
            Fail(e);
        }
        s.Close();
    }

    static async Task ServeAsync(Socket s, int calls)
    {
        try
        {
            s.NoDelay = true;
            using (var stream = new NetworkStream(s, true))
            {
                for (string head; (head = await ReceiveAsync(stream, 0).ConfigureAwait(false)) != null;)
                {
                    await CallsAsync(IdOf(head), calls).ConfigureAwait(false);
                    await stream.WriteAsync(ok, 0, ok.Length).ConfigureAwait(false);
                }
            }
        }
        catch (System.IO.IOException)
        {
            // the client has gone
        }
        catch (Exception e)
        {
            Fail(e);
        }
    }

    static async Task CallsAsync(string id, int calls)
    {
        for (int i = 0; i < calls; i++)
        {
            await CallAsync("/d/" + id + "/" + (char)('a' + i)).ConfigureAwait(false);
        }
    }

    static void Fail(Exception e)
    {
        Console.Error.WriteLine(e);
        _exit(1);
    }

    static void Begin(Action run)
    {
        new Thread(() =>
        {
            try
            {
                run();
            }
            catch (Exception e)
            {
                Fail(e);
            }
        }) { IsBackground = true }.Start();
    }

    static void Main(string[] args)
    {
        var address = args[1].Split(':');
        backend = new IPEndPoint(IPAddress.Parse(address[0]), int.Parse(address[1]));
        size = int.Parse(args[2]);
        // What waits occupies a thread of the pool as well.
        ThreadPool.SetMinThreads(size, size);
        int calls = args[0] == "async" ? 1 : args[0] == "async-sequential" ? 3 : 0;
        Shape shape = calls == 0 ? ShapeOf(args[0]) : id => CallsAsync(id, calls).Wait();
        for (int i = 0; i < size; i++)
        {
            Begin(() =>
            {
                foreach (var task in tasks.GetConsumingEnumerable())
                {
                    task();
                }
            });
        }
        var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen(256);
        Console.WriteLine(listener.LocalEndPoint);
        Begin(() =>
        {
            for (;;)
            {
                Socket s = listener.Accept();
                if (calls > 0)
                {
                    Task.Run(() => ServeAsync(s, calls));
                }
                else
                {
                    Begin(() => Serve(s, shape));
                }
            }
        });
        Begin(() =>
        {
            for (long n = 0;; n++)
            {
                Thread.Sleep(5);
                shape("bg/" + n);
            }
        });
        Console.In.ReadLine();
        _exit(0);
    }
}
