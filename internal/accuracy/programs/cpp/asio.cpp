// A server on Asio whose threads all run one io_context: whichever is free goes on with a connection. GET /r/<id>
// makes calls /d/<id>/<op> and answers when their responses are there; a timer makes calls /d/bg/<n> of nobody's.
// Arguments and behaviour are those of the contract in program.go.
//
//	asio SHAPE BACKEND POOL
#include <asio.hpp>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

using asio::ip::tcp;
using std::string;

namespace {

constexpr int THREADS = 4;

// How the calls of a request are made.
struct Shape {
	const char *name = nullptr;
	int calls = 1;
	bool at_once = false; // all of them, not one after the other
	bool shared = false;  // over connections that all requests share, not the session's own
	bool posted = false;  // by whichever thread comes to it
	bool later = false;   // so is the answer
	int delay_ms = 0;     // after a timer
};

constexpr Shape shapes[] = {
	{.name = "handler"},
	{.name = "sequential", .calls = 3},
	{.name = "pool", .shared = true},
	{.name = "pool-sequential", .calls = 3, .shared = true},
	{.name = "pool-fan-out", .calls = 3, .at_once = true, .shared = true},
	{.name = "pool-post", .shared = true, .posted = true},
	{.name = "pool-answer", .shared = true, .later = true},
	{.name = "pool-post-answer", .shared = true, .posted = true, .later = true},
	{.name = "pool-timer", .shared = true, .delay_ms = 2},
};

Shape shape;
asio::io_context io;
tcp::endpoint backend;

using Then = std::function<void()>;

[[noreturn]] void fail(const char *what, const std::error_code &e)
{
	std::cerr << what << ": " << e.message() << "\n";
	std::_Exit(1);
}

// A connection to the backend, with at most one call at a time.
struct Connection : std::enable_shared_from_this<Connection> {
	tcp::socket socket{io};
	asio::streambuf in;
	string out;

	void call(const string &path, Then then)
	{
		out = "GET " + path + " HTTP/1.1\r\nHost: backend\r\n\r\n";
		if (socket.is_open())
			return send(std::move(then));
		socket.async_connect(backend, [self = shared_from_this(), then](const std::error_code &e) {
			if (e)
				fail("connect", e);
			self->socket.set_option(tcp::no_delay(true));
			self->send(then);
		});
	}

	void send(Then then)
	{
		asio::async_write(socket, asio::buffer(out), [self = shared_from_this(), then](const std::error_code &e, size_t) {
			if (e)
				fail("write to the backend", e);
			asio::async_read_until(self->socket, self->in, "\r\n\r\nok\n", [self, then](const std::error_code &e2, size_t n) {
				if (e2)
					fail("read from the backend", e2);
				self->in.consume(n);
				then();
			});
		});
	}
};

using Backend = std::shared_ptr<Connection>;

// The connections that are free.
std::mutex lock;
std::vector<Backend> unused;

Backend take()
{
	std::lock_guard<std::mutex> guard(lock);
	if (unused.empty())
		return std::make_shared<Connection>();
	Backend b = unused.back();
	unused.pop_back();
	return b;
}

void call_shared(const string &path, Then then)
{
	Backend b = take();
	b->call(path, [b, then = std::move(then)] {
		{
			std::lock_guard<std::mutex> guard(lock);
			unused.push_back(b);
		}
		then();
	});
}

// A client's connection.
struct Session : std::enable_shared_from_this<Session> {
	tcp::socket socket;
	asio::steady_timer timer{io};
	asio::streambuf in;
	Backend own = std::make_shared<Connection>();
	string id;
	int made = 0;
	std::atomic<int> missing{0};
	const string response = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";

	explicit Session(tcp::socket s) : socket(std::move(s)) { socket.set_option(tcp::no_delay(true)); }

	void read()
	{
		asio::async_read_until(socket, in, "\r\n\r\n", [self = shared_from_this()](const std::error_code &e, size_t n) {
			if (e)
				return; // the client has gone
			string head(asio::buffers_begin(self->in.data()), asio::buffers_begin(self->in.data()) + n);
			self->in.consume(n);
			size_t end = head.find(' ', 7);
			if (head.compare(0, 7, "GET /r/") || end == string::npos)
				std::_Exit(1);
			self->id = head.substr(7, end - 7);
			self->made = 0;
			self->missing = shape.calls;
			self->serve();
		});
	}

	void serve()
	{
		if (shape.delay_ms) {
			timer.expires_after(std::chrono::milliseconds(shape.delay_ms));
			timer.async_wait([self = shared_from_this()](const std::error_code &) { self->next(); });
		} else if (shape.posted) {
			asio::post(io, [self = shared_from_this()] { self->next(); });
		} else if (shape.at_once) {
			for (int i = 0; i < shape.calls; i++)
				next();
		} else {
			next();
		}
	}

	void next()
	{
		string path = "/d/" + id + "/" + std::to_string(made++);
		Then then = [self = shared_from_this()] {
			if (--self->missing) {
				if (!shape.at_once)
					self->next();
			} else if (shape.later) {
				asio::post(io, [self] { self->answer(); });
			} else {
				self->answer();
			}
		};
		if (shape.shared)
			call_shared(path, then);
		else
			own->call(path, then);
	}

	void answer()
	{
		asio::async_write(socket, asio::buffer(response), [self = shared_from_this()](const std::error_code &e, size_t) {
			if (!e)
				self->read();
		});
	}
};

void accept(tcp::acceptor &a)
{
	a.async_accept([&a](const std::error_code &e, tcp::socket s) {
		if (!e)
			std::make_shared<Session>(std::move(s))->read();
		accept(a);
	});
}

void background(asio::steady_timer &t, unsigned n)
{
	t.expires_after(std::chrono::milliseconds(5));
	t.async_wait([&t, n](const std::error_code &) {
		call_shared("/d/bg/" + std::to_string(n), [] {});
		background(t, n + 1);
	});
}

} // namespace

int main(int argc, char **argv)
{
	char host[64];
	unsigned short port;

	if (argc != 4 || std::sscanf(argv[2], "%63[^:]:%hu", host, &port) != 2) {
		std::cerr << "usage: asio SHAPE BACKEND POOL\n";
		return 1;
	}
	for (const Shape &s : shapes)
		if (string(argv[1]) == s.name)
			shape = s;
	if (!shape.name) {
		std::cerr << "no shape " << argv[1] << "\n";
		return 1;
	}
	backend = tcp::endpoint(asio::ip::make_address(host), port);
	tcp::acceptor acceptor(io, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
	accept(acceptor);
	asio::steady_timer timer(io);
	background(timer, 0);
	std::vector<std::thread> threads;
	for (int i = 0; i < THREADS; i++)
		threads.emplace_back([] { io.run(); });
	std::printf("127.0.0.1:%d\n", acceptor.local_endpoint().port());
	std::fflush(stdout);
	while (std::getchar() != EOF) {
	}
	std::_Exit(0);
}
