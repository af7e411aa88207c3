package protocol

import (
	"strings"
	"testing"
)

func TestDetect(t *testing.T) {
	long := "GET /" + strings.Repeat("a", 3000)
	for _, c := range []struct {
		protocol string
		dir      Direction
		data     string
		want     Verdict
	}{
		{"http", Request, "", More},
		{"http", Request, "G", More},
		{"http", Request, "GET /", More},
		{"http", Request, long, More},
		{"http", Request, "GET / HTTP/1.1\r", More},
		{"http", Request, "GET / HTTP/1.1\r\n", Yes},
		{"http", Request, "PROPFIND /x HTTP/1.0\n", Yes},
		{"http", Request, "OPTIONS * HTTP/1.1\r\n", Yes},
		{"http", Request, "CONNECT [::1]:443 HTTP/1.1\r\n", Yes},
		{"http", Request, "GET http://a/ HTTP/1.1\r\n", Yes},
		{"http", Request, "PRI * HTTP/2.0\r\n\r\nSM", No},
		{"http", Request, "OPTIONS rtsp://c/1 RTSP/1.0\r\n", No},
		{"http", Request, "INVITE sip:a@b SIP/2.0\r\n", No},
		{"http", Request, "OPTIONS icap://i/ ICAP/1.0\r\n", No},
		{"http", Request, "get foo\r\n", No},
		{"http", Request, "EHLO mail.example\r\n", No},
		{"http", Request, "USER anonymous\r\n", No},
		{"http", Request, "GET / HTTP/1.1x", No},
		{"http", Request, "\x16\x03\x01", No},
		{"http", Request, "*1\r\n$4\r\nPING\r\n", No},
		{"http", Response, "HTTP/1.1 20", More},
		{"http", Response, "HTTP/1.1 200 OK\r\n", Yes},
		{"http", Response, "HTTP/1.0 404\r\n", Yes},
		{"http", Response, "HTTP/2 200\r\n", No},
		{"http", Response, "RTSP/1.0 200 OK\r\n", No},
		{"http", Response, "SIP/2.0 200 OK\r\n", No},
		{"http", Response, "ICY 200 OK\r\n", No},
		{"http", Response, "220 mail ESMTP\r\n", No},
		{"http", Response, "HTTP/1.1 2000", No},
		{"redis", Request, "", More},
		{"redis", Request, "*", More},
		{"redis", Request, "*2\r\n$3\r\nGE", More},
		{"redis", Request, "*2\r\n$3\r\nGET\r", More},
		{"redis", Request, "*2\r\n$3\r\nGET\r\n", Yes},
		{"redis", Request, "*2\r\n$9\r\nFT.SEARCH\r\n", Yes},
		{"redis", Request, "*0\r\n", No},
		{"redis", Request, "*2\r\n$3\r\nG:T\r\n", No},
		{"redis", Request, "*2\r\n:3\r\n", No},
		{"redis", Request, "*2\r\n$333\r\n", No},
		{"redis", Request, "PING\r\n", No},
		{"redis", Request, "GET / HTTP/1.1\r\n", No},
		{"redis", Request, "set k 0 0 1\r\n", No},
		{"redis", Request, "EHLO x\r\n", No},
		{"redis", Request, "QUIT\r\n", No},
		{"redis", Response, "", More},
		{"redis", Response, "+OK\r\n", More},
		{"redis", Response, "+OK\r\n:1\r\n", Yes},
		{"redis", Response, "+PO", More},
		{"redis", Response, "+PONG\r\n", Yes},
		{"redis", Response, "+OK POP3 server ready\r\n", No},
		{"redis", Response, "-ERR no such user\r\n", No},
		{"redis", Response, "-ERR 'Authorization Violation'\r\n", No},
		{"redis", Response, "-WRONGTYPE Operation", Yes},
		{"redis", Response, "-ERR unknown command 'x'\r\n", Yes},
		{"redis", Response, ":1\r\n", Yes},
		{"redis", Response, ":server 001 nick\r\n", No},
		{"redis", Response, "$5\r\nhello\r\n", Yes},
		{"redis", Response, "$5\r\nhello!", No},
		{"redis", Response, "$-1\r\n", Yes},
		{"redis", Response, "*2\r\n$1\r\na\r\n$1", Yes},
		{"redis", Response, "*2\r\nhello", No},
		{"redis", Response, "%1\r\n+a\r\n:1\r\n", Yes},
		{"redis", Response, "* OK IMAP4rev1 ready\r\n", No},
		{"redis", Response, "220 mail ESMTP\r\n", No},
		{"redis", Response, "VALUE k 0 1\r\n", No},
		{"redis", Response, "STORED\r\n", No},
		{"redis", Response, "SSH-2.0-x\r\n", No},
		{"redis", Response, "INFO {\"server_id\"", No},
		{"redis", Response, "HTTP/1.1 200 OK\r\n", No},
	} {
		for _, p := range Table {
			if p.Name != c.protocol {
				continue
			}
			if got := p.Detect(c.dir, []byte(c.data)); got != c.want {
				t.Errorf("%s %s %.40q: got %d, want %d", c.protocol, sides[c.dir], c.data, got, c.want)
			}
			detectOnce(t, p, c.dir, []byte(c.data))
		}
	}
}

// No two protocols may claim the same bytes.
func TestDetectorsAgree(t *testing.T) {
	for _, s := range sections(t) {
		for _, st := range s.steps {
			var claims []string
			for _, p := range Table {
				if p.Detect(st.dir, st.chunk.Data) == Yes {
					claims = append(claims, p.Name)
				}
			}
			if len(claims) > 1 {
				t.Errorf("%v claim %q", claims, st.chunk.Data)
			}
		}
	}
}

func TestReasonsHaveNames(t *testing.T) {
	for why := NotProtocol; why <= Unsolicited; why++ {
		if int(why) >= len(Reasons) || Reasons[why] == "" {
			t.Errorf("reason %d has no name", why)
		}
	}
}

func TestRedactQuery(t *testing.T) {
	for query, want := range map[string]string{
		"":                                  "",
		"page=2&limit=10":                   "page=2&limit=10",
		"page=alice%40example.com":          "page=REDACTED",
		"page=" + strings.Repeat("9", 25):   "page=REDACTED",
		"X-Amz-Signature=ab&sig=c&token=d":  "X-Amz-Signature=REDACTED&sig=REDACTED&token=REDACTED",
		"X-Goog-Signature=1&AWSAccessKeyId": "X-Goog-Signature=REDACTED&REDACTED",
		"PAGE=1":                            "PAGE=REDACTED",
		"q=&sort=name":                      "q=&sort=name",
		"a&&b=1&":                           "REDACTED&&b=REDACTED&",
		"=x":                                "REDACTED",
		"alice%40example.com=1":             "REDACTED",
		"0123456789abcdef=1":                "REDACTED",
		"filter[name]=x;y=2":                "filter[name]=REDACTED",
		"page=1?token=2":                    "page=REDACTED",
		"v=2\xff":                           "v=REDACTED",
	} {
		if got := redactQuery([]byte(query)); got != want {
			t.Errorf("%q: got %q, want %q", query, got, want)
		}
	}
}

func TestAuthority(t *testing.T) {
	for in, want := range map[string]struct {
		name string
		port int
	}{
		"a.example": {"a.example", 0}, "a:80": {"a", 80}, "[2001:db8::1]:8080": {"2001:db8::1", 8080},
		"[::1]": {"::1", 0}, "1.2.3.4:1": {"1.2.3.4", 1}, "a:": {"a", 0},
		"": {}, ":80": {}, "a:0": {}, "a:65536": {}, "a:b": {}, "[::1": {}, "[1.2.3.4]": {}, "[::1]x": {},
		"a b": {}, "u@h": {}, "::1": {}, "a/b": {}, "a:99999999999999999999": {},
	} {
		name, port, ok := splitAuthority([]byte(in))
		if !ok {
			name, port = "", 0
		}
		if name != want.name || port != want.port {
			t.Errorf("%q: got %q %d, want %q %d", in, name, port, want.name, want.port)
		}
	}
}
