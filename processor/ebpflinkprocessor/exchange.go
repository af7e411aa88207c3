package ebpflinkprocessor

import (
	"fmt"
	"math"
	"net/url"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/rawspan"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/link"
)

// said reads what a span says of its exchange, by the names of today's semantic conventions and by those
// that SDKs wrote before.
type said struct {
	link.Exchange
	// port is that of the server, 0 when unknown.
	port uint16
}

// What spans say of an exchange, as numbers beside those of rawspan.Attr.
const (
	firstSaid = 64 + iota
	saysMethod
	saysSystem
	saysPath
	saysURL
	saysStatus
	saysPort
)

// saidIn is where it is said: by the names of today and by the older ones.
var saidIn = map[string]uint8{
	"http.request.method": saysMethod, "http.method": saysMethod,
	"db.system.name": saysSystem, "db.system": saysSystem, "rpc.system.name": saysSystem, "rpc.system": saysSystem,
	"url.path": saysPath,
	"url.full": saysURL, "http.url": saysURL, "http.target": saysURL,
	"http.response.status_code": saysStatus, "http.status_code": saysStatus,
	"server.port": saysPort, "net.peer.port": saysPort,
}

// read reads an attribute.
func (s *said) read(as uint8, v pcommon.Value) {
	switch as {
	case saysMethod:
		s.Method = link.WordKey(v.Str())
	case saysSystem:
		s.System = link.WordKey(v.Str())
	case saysPath:
		s.Path = link.WordKey(v.Str())
	case saysURL:
		// A SERVER span has the path alone, a CLIENT span all of it.
		if u, err := url.Parse(v.Str()); err == nil && s.Path == 0 {
			s.Path = link.WordKey(u.Path)
		}
	case saysStatus:
		if v.Type() == pcommon.ValueTypeInt {
			s.Status = link.StatusKey(v.Int())
		}
	case saysPort:
		if v.Type() == pcommon.ValueTypeInt && v.Int() > 0 && v.Int() <= math.MaxUint16 {
			s.port = uint16(v.Int())
		}
	}
}

// put puts it beside f; sdk says that the span is of an SDK.
func (s *said) put(f *link.Fact, r *link.Rare, sdk bool) {
	r.Exchange = s.Exchange
	if sdk && f.Role == link.Client && f.Peer.Port == 0 {
		f.Peer.Port = s.port
	}
}

// ownerOf says which process a resource is, and where it runs; service and host are the keys of its names, 0 when unknown.
func ownerOf(resource pcommon.Map, host uint64, service uint32) (e link.Exchange) {
	if v, ok := resource.Get(rawspan.ResPID); ok && host != 0 && v.Type() == pcommon.ValueTypeInt && v.Int() > 0 && v.Int() <= math.MaxUint32 {
		e.PID = uint32(v.Int())
	}
	if v, ok := resource.Get(rawspan.ResInstance); ok && service != 0 && v.Type() == pcommon.ValueTypeStr {
		e.Instance = link.InstanceKey(v.Str())
	}
	if v, ok := resource.Get(rawspan.ResContainer); ok && v.Type() == pcommon.ValueTypeStr {
		e.Container = link.PlaceKey(v.Str())
	}
	if v, ok := resource.Get(rawspan.ResPod); ok && v.Type() == pcommon.ValueTypeStr {
		e.Pod = link.PlaceKey(v.Str())
	}
	return e
}

// pairUp reads from what waits what it says of its exchanges: until the first SDK span that names its
// process or container came, nobody wanted to know. The caller holds mu.
func (p *linkProcessor) pairUp(from payloads) error {
	dec := newDecoder()
	for _, b := range p.batches {
		if b == nil || b.waiting == nil {
			continue
		}
		err := from.load(b.seq, func(payload []byte) error {
			td, err := dec.all(payload)
			if err != nil {
				return err
			}
			for ordinal, more := range p.reader.read(td, true).besides {
				if id, here := p.here(b, ordinal); here {
					p.index.Say(id, more.rare.Exchange)
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("read what batch %d says of its exchanges: %w", b.seq, err)
		}
	}
	return nil
}
