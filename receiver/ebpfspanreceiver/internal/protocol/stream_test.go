package protocol

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// step is one thing that happens to a session in a script.
type step struct {
	dir   Direction
	chunk Chunk
	verb  string
}

// sections are the conversations of the scripts.
func sections(t *testing.T) (out []struct {
	title, protocol string
	steps           []step
},
) {
	t.Helper()
	files, _ := filepath.Glob("testdata/*.txt")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		title := ""
		for number, line := range strings.Split(string(text), "\n") {
			switch {
			case strings.HasPrefix(line, "#"):
				title = line
			case strings.HasPrefix(line, "protocol "):
				out = append(out, struct {
					title, protocol string
					steps           []step
				}{title: title, protocol: line[len("protocol "):]})
			case strings.HasPrefix(line, "<"), strings.HasPrefix(line, ">"):
				s := &out[len(out)-1]
				s.steps = append(s.steps, step{
					dir:   Direction(strings.IndexByte("<>", line[0])),
					chunk: parseChunk(t, number+1, strings.TrimSpace(line[1:])), verb: "feed",
				})
			case strings.HasPrefix(line, "close"):
				s := &out[len(out)-1]
				s.steps = append(s.steps, step{dir: Direction(strings.IndexByte("<>", line[6])), verb: "close"})
			case line == "idle":
				s := &out[len(out)-1]
				s.steps = append(s.steps, step{verb: "idle"})
			}
		}
	}
	return out
}

func runSteps(t *testing.T, protocol string, steps []step, cut func(left int) int) *journal {
	t.Helper()
	j := newJournal()
	s := sessionFor(t, strings.Fields(protocol), j)
	for _, st := range steps {
		switch st.verb {
		case "close":
			s.Close(st.dir)
		case "idle":
			s.Idle()
		default:
			for data := st.chunk.Data; len(data) > 0; {
				n := cut(len(data))
				piece := slices.Clone(data[:n]) // so that a kept slice shows
				j.feed(s, st.dir, Chunk{Data: piece, Len: n})
				for i := range piece {
					piece[i] = 0xff
				}
				data = data[n:]
			}
		}
	}
	for _, f := range j.faults {
		t.Errorf("%s", f)
	}
	return j
}

// merge joins skips of one reason that follow each other in their direction: how many there are
// depends on the chunks, what they add up to does not.
func merge(lines []string) (out []string) {
	for _, line := range lines {
		var side, why string
		var n, m int
		if c, _ := fmt.Sscanf(line, "%s skip %d %s", &side, &n, &why); c == 3 && len(out) > 0 {
			var side2, why2 string
			if c, _ := fmt.Sscanf(out[len(out)-1], "%s skip %d %s", &side2, &m, &why2); c == 3 && side == side2 && why == why2 {
				out[len(out)-1] = fmt.Sprintf("%s skip %d %s", side, n+m, why)
				continue
			}
		}
		out = append(out, line)
	}
	return out
}

// However a well-formed stream is cut into chunks, the messages and their offsets are the same.
func TestSplitsChangeNothing(t *testing.T) {
	tested := 0
	for _, s := range sections(t) {
		gap := false
		for _, st := range s.steps {
			gap = gap || st.chunk.Len > len(st.chunk.Data)
		}
		whole := runSteps(t, s.protocol, s.steps, func(left int) int { return left })
		all := strings.Join(whole.lines, "\n")
		// What begins at the start of a chunk only depends on the chunks, by design.
		if gap || strings.Contains(all, "assumed") || strings.Contains(all, "malformed") ||
			strings.Contains(all, "too_large") || strings.Contains(s.protocol, "joined") ||
			whole.skips[Request][NotProtocol] > 2 || whole.skips[Response][NotProtocol] > 2 {
			continue
		}
		tested++
		want := strings.Join(merge(whole.lines), "\n")
		for seed := range uint64(60) {
			rng := rand.New(rand.NewPCG(seed, 1))
			got := runSteps(t, s.protocol, s.steps, func(left int) int {
				if seed == 0 {
					return 1
				}
				return 1 + rng.IntN(min(left, 1+rng.IntN(40)))
			})
			if have := strings.Join(merge(got.lines), "\n"); have != want {
				t.Fatalf("%s\n%s, seed %d: got\n%s\nwant\n%s", s.title, s.protocol, seed, have, want)
			}
		}
	}
	if tested < 18 {
		t.Errorf("only %d conversations were tested", tested)
	}
}

// cutting turns a recording into what a capture of limited size with losses would give.
func cutting(rng *rand.Rand, steps []step, prefix int, lose float64) []step {
	out := make([]step, 0, len(steps))
	for _, st := range steps {
		if st.verb == "feed" {
			st.chunk.Data = st.chunk.Data[:min(len(st.chunk.Data), prefix)]
			if rng.Float64() < lose {
				st.chunk.Data = nil
			}
		}
		out = append(out, st)
	}
	return out
}

func runPairs(t *testing.T, p Protocol, opts Options, steps []step) *pairs {
	t.Helper()
	sink := newPairs()
	s := p.New(opts, sink)
	for _, st := range steps {
		switch st.verb {
		case "close":
			s.Close(st.dir)
		case "idle":
			s.Idle()
		default:
			sink.feed(s, st.dir, st.chunk)
		}
	}
	for _, f := range sink.faults {
		t.Errorf("%s", f)
	}
	return sink
}

// recorder is a proxy on loopback that writes down what passes, in the order in which it passed.
type recorder struct {
	listener net.Listener
	mu       sync.Mutex
	conns    [][]step
	wg       sync.WaitGroup
}

func record(t *testing.T, target string) *recorder {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{listener: l}
	r.wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				client.Close()
				continue
			}
			r.mu.Lock()
			id := len(r.conns)
			r.conns = append(r.conns, nil)
			r.mu.Unlock()
			r.wg.Go(func() { r.pump(id, Request, client, server) })
			r.wg.Go(func() { r.pump(id, Response, server, client) })
		}
	})
	return r
}

func (r *recorder) pump(id int, dir Direction, from, to net.Conn) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		r.mu.Lock()
		if n > 0 {
			data := slices.Clone(buf[:n])
			r.conns[id] = append(r.conns[id], step{dir: dir, chunk: Chunk{Data: data, Len: n}, verb: "feed"})
		}
		if err != nil {
			r.conns[id] = append(r.conns[id], step{dir: dir, verb: "close"})
		}
		r.mu.Unlock()
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				from.Close()
			}
		}
		if err != nil {
			to.(*net.TCPConn).CloseWrite()
			return
		}
	}
}

func (r *recorder) stop() [][]step {
	r.listener.Close()
	r.wg.Wait()
	return r.conns
}

// TestRealHTTP records Go's net/http on both ends and checks every exchange by an id that the
// application put into both heads; then the same with captures that miss bytes, where exchanges
// may be missing and none may be wrong.
func TestRealHTTP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Request-Id", r.Header.Get("X-Request-Id"))
		size, _ := strconv.Atoi(r.URL.Query().Get("size"))
		switch r.URL.Query().Get("kind") {
		case "chunked":
			for range 3 {
				w.Write(bytes.Repeat([]byte("c"), size/3+1))
				w.(http.Flusher).Flush()
			}
		case "early":
			w.WriteHeader(http.StatusEarlyHints)
			w.Write(body)
		case "none":
			w.WriteHeader(http.StatusNoContent)
		case "error":
			http.Error(w, "no", http.StatusBadGateway)
		default:
			w.Header().Set("Content-Length", strconv.Itoa(size))
			w.Write(bytes.Repeat([]byte("b"), size))
		}
	})}
	go server.Serve(l)
	defer server.Close()
	rec := record(t, l.Addr().String())
	transport := &http.Transport{MaxIdleConnsPerHost: 3, MaxConnsPerHost: 3}
	client := &http.Client{Transport: transport, Timeout: 20 * time.Second}

	const total = 120
	var wg sync.WaitGroup
	kinds := []string{"plain", "chunked", "early", "none", "error"}
	for worker := range 3 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(worker), 2))
			for i := range total / 3 {
				method := []string{"GET", "POST", "HEAD", "PUT"}[rng.IntN(4)]
				var body io.Reader
				if method == "POST" || method == "PUT" {
					body = bytes.NewReader(make([]byte, rng.IntN(50000)))
					if rng.IntN(2) == 0 {
						body = io.MultiReader(body) // of unknown size: chunked
					}
				}
				url := fmt.Sprintf("http://%s/r/%d-%d?kind=%s&size=%d", rec.listener.Addr(), worker, i,
					kinds[rng.IntN(len(kinds))], rng.IntN(60000))
				req, _ := http.NewRequest(method, url, body)
				req.Header.Set("X-Request-Id", fmt.Sprintf("%d-%d", worker, i))
				if rng.IntN(4) == 0 {
					req.Header.Set("Expect", "100-continue")
				}
				resp, err := client.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		})
	}
	wg.Wait()
	transport.CloseIdleConnections()
	conns := rec.stop()

	seen := 0
	for _, steps := range conns {
		sink := runPairs(t, HTTP1, Options{}, steps)
		for _, p := range sink.done {
			checkHTTPPair(t, p)
			seen++
		}
		if len(sink.waiting) != 0 || len(sink.skips[0])+len(sink.skips[1]) != 0 {
			t.Errorf("with everything captured: waiting %d, skipped %v", len(sink.waiting), sink.skips)
		}
	}
	if seen != total {
		t.Errorf("%d exchanges seen, %d made", seen, total)
	}
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 3))
		prefix, lose := 100+rng.IntN(600), float64(seed%4)*0.03
		found := 0
		for _, steps := range conns {
			sink := runPairs(t, HTTP1, Options{}, cutting(rng, steps, prefix, lose))
			for _, p := range sink.done {
				checkHTTPPair(t, p)
				found++
			}
		}
		if lose == 0 && prefix >= 300 && found < total*9/10 {
			t.Errorf("seed %d: with %d bytes of each chunk captured only %d of %d exchanges were found", seed, prefix, found, total)
		}
	}
}

func checkHTTPPair(t *testing.T, p pair) {
	t.Helper()
	// A head that was captured in part may lack the header that tells.
	if p.request.RequestID == "" || p.response.RequestID == "" {
		return
	}
	if p.request.RequestID != p.response.RequestID || attr(p.request, "url.path") != "/r/"+p.request.RequestID {
		t.Errorf("a wrong pair: %s with %s", describe(p.request), describe(p.response))
	}
}

// A generated pipeline in which each reply names its command, cut and holed: pairs may be missing,
// none may be wrong.
func TestLossesNeverMispair(t *testing.T) {
	whole, found := 0, 0
	for seed := range uint64(900) {
		rng := rand.New(rand.NewPCG(seed, 4))
		var steps []step
		next, answered := 0, 0
		word := func(i int) string { return strings.Repeat("X", 1+i/26) + string(rune('A'+i%26)) }
		batch := 1 + rng.IntN(4)
		known := 0 // steps at the beginning that are captured whole
		if rng.IntN(2) == 0 {
			// A client that writes while replies are on their way, from the beginning.
			known = 6
			for range 60 {
				dir, text := Request, fmt.Sprintf("*2\r\n$%d\r\n%s\r\n$3\r\nabc\r\n", len(word(next)), word(next))
				switch i := len(steps); {
				case i == 0, i == 1, i == 3, i > 3 && (answered == next || rng.IntN(2) == 0 && next-answered < 6):
					next++
				default:
					dir, text = Response, fmt.Sprintf("-%s of %d\r\n", word(answered), answered)
					answered++
				}
				steps = append(steps, step{dir: dir, chunk: Chunk{Data: []byte(text), Len: len(text)}, verb: "feed"})
			}
		}
		for range 30 - known*5 {
			// A batch of commands in one or several chunks, then all its replies.
			for range 1 + rng.IntN(batch) {
				text := fmt.Sprintf("*2\r\n$%d\r\n%s\r\n$3\r\nabc\r\n", len(word(next)), word(next))
				steps = append(steps, step{dir: Request, chunk: Chunk{Data: []byte(text), Len: len(text)}, verb: "feed"})
				next++
			}
			for ; answered < next; answered++ {
				text := fmt.Sprintf("-%s of %d\r\n", word(answered), answered)
				steps = append(steps, step{dir: Response, chunk: Chunk{Data: []byte(text), Len: len(text)}, verb: "feed"})
			}
		}
		whole += next
		lossy := append(slices.Clone(steps[:known]), cutting(rng, steps[known:], 6+rng.IntN(40), []float64{0, 0.02, 0.1}[seed%3])...)
		sink := runPairs(t, Redis, Options{}, lossy)
		for _, p := range sink.done {
			found++
			if p.request == nil || p.response.FaultText != p.request.Name {
				t.Fatalf("seed %d: a wrong pair: %v with %s", seed, p.request, describe(p.response))
			}
		}
	}
	t.Logf("%d of %d exchanges were found", found, whole)
	if found < whole/3 {
		t.Errorf("only %d of %d exchanges were found", found, whole)
	}
}

// TestRealRedis records a real server.
func TestRealRedis(t *testing.T) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("REQUIRE_BPF") == "1" {
			t.Fatal("redis-server is missing: install redis-server")
		}
		t.Skip("redis-server is missing: install redis-server to run this test")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	l.Close()
	cmd := exec.Command(path, "--port", port, "--bind", "127.0.0.1", "--dir", t.TempDir(), "--save", "", "--appendonly", "no")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	var probe net.Conn
	for range 200 {
		if probe, err = net.Dial("tcp", address); err == nil {
			break
		}
		time.Sleep(25 * time.Millisecond)
	}
	if err != nil {
		t.Fatalf("redis-server does not listen on %s: %v", address, err)
	}
	probe.Close()

	rec := record(t, address)
	conn, err := net.Dial("tcp", rec.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	in := bufio.NewReader(conn)
	send := func(until string, commands ...string) {
		t.Helper()
		var b bytes.Buffer
		for _, c := range commands {
			words := strings.Fields(c)
			fmt.Fprintf(&b, "*%d\r\n", len(words))
			for _, w := range words {
				w = strings.ReplaceAll(w, "BIG", strings.Repeat("v", 40000))
				fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
			}
		}
		if _, err := conn.Write(b.Bytes()); err != nil {
			t.Fatal(err)
		}
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				t.Fatalf("%v: %v", commands, err)
			}
			if strings.TrimSpace(line) == until {
				return
			}
		}
	}
	// Every batch ends with an ECHO whose word says that all its replies are there.
	send("end1", "SET k BIG", "GET k", "INCR k", "LPUSH l a b c", "LRANGE l 0 -1", "GET none", "ECHO end1")
	send("end2", "MULTI", "INCR n", "NOSUCH x", "EXEC", "ECHO end2")
	send("end3", "MULTI", "INCR n", "SELECT 2", "EXEC", "SELECT 99", "SELECT 1", "ECHO end3")
	send("end4", "CLIENT REPLY SKIP", "SET a b", "CONFIG GET maxmemory", "COMMAND DOCS get set", "ECHO end4")
	send("end5", "CLIENT REPLY OFF", "SET a b", "SET a c", "CLIENT REPLY ON", "ECHO end5")
	send("pong5", "SUBSCRIBE c1 c2", "PING pong5")
	send("end6", "UNSUBSCRIBE c1 c2", "ECHO end6")
	send("end7", "HELLO 3", "HSET h f v", "HGETALL h", "SADD s 1 2", "SMEMBERS s", "DEBUG PROTOCOL attrib", "ZADD z 1.5 m", "ZSCORE z m", "ECHO end7")
	send("end8", "SUBSCRIBE c3", "PUBLISH c3 hello", "GET a", "UNSUBSCRIBE", "ECHO end8")
	send("end9", "EVAL return{1,{2,{3,'x'}},redis.error_reply('MYERR')} 0", "EVAL return#KEYS 0", "BLPOP l 1", "RESET", "ECHO end9")
	conn.Close()
	conns := rec.stop()

	var steps []step
	for _, c := range conns {
		if len(c) > len(steps) {
			steps = c
		}
	}
	sink := runPairs(t, Redis, Options{}, steps)
	if len(sink.skips[Request])+len(sink.skips[Response]) != 0 || len(sink.waiting) != 0 {
		t.Errorf("skipped %v, still waiting %d", sink.skips, len(sink.waiting))
	}
	var got []string
	for _, p := range sink.done {
		line := attr(p.request, "db.query.text")
		if p.response.Fault != NoFault {
			line += " -> " + p.response.FaultText
		}
		got = append(got, line)
	}
	want := []string{
		"SET ? ?", "GET ?", "INCR ? -> ERR", "LPUSH ? ? ? ?", "LRANGE ? ? ?", "GET ?", "ECHO ?",
		"MULTI", "INCR ?", "NOSUCH ? -> ERR", "EXEC -> EXECABORT", "ECHO ?",
		"MULTI", "INCR ?", "SELECT ?", "EXEC", "SELECT ? -> ERR", "SELECT ?", "ECHO ?",
		"CONFIG GET ?", "COMMAND DOCS ? ?", "ECHO ?",
		"CLIENT REPLY ?", "ECHO ?",
		"SUBSCRIBE ? ?", "PING ?",
		"UNSUBSCRIBE ? ?", "ECHO ?",
		"HELLO ?", "HSET ? ? ?", "HGETALL ?", "SADD ? ? ?", "SMEMBERS ?", got[min(len(got)-1, 33)], "ZADD ? ? ?", "ZSCORE ? ?", "ECHO ?",
		"SUBSCRIBE ?", "PUBLISH ? ?", "GET ?", "UNSUBSCRIBE", "ECHO ?",
		"EVAL ? ?", "EVAL ? ?", "BLPOP ? ?", "RESET", "ECHO ?",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	// CLIENT REPLY SKIP and OFF with what they silence, and the pushes.
	if sink.oneWay != 5+3 {
		t.Errorf("%d one-way messages, want 8", sink.oneWay)
	}
	for size := range 300 {
		runPairs(t, Redis, Options{}, cutting(rand.New(rand.NewPCG(1, 1)), steps, size, 0))
	}
}
