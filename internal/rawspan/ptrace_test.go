package rawspan

import (
	"encoding/hex"
	"math"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

func full() Link {
	return Link{
		ReqSeq: 1, RespSeq: math.MaxUint32, Systrace: 2, PseudoThread: math.MaxUint64,
		Hints: []string{"same_thread", "channel"}, HintConfidence: .75,
		HintClass: "probable", LateOf: 3,
		Local:      netip.MustParseAddrPort("10.0.0.1:80"),
		Peer:       netip.MustParseAddrPort("[2001:db8::1]:65535"),
		Connection: "c", ReqRequestID: []string{"a", "b"}, RespRequestID: []string{"c"},
		AppTraceID: [16]byte{15: 1}, AppParentID: [8]byte{1}, AppSampled: false, HasAppSampled: true, Pending: true, Calls: 3, HasCalls: true,
		Compat: Compat{Producer: "p", Host: "h", Tap: "c-p", Process: 7, RequestID: math.MaxUint64, ResponseID: 9},
	}
}

func TestLinkRoundTrip(t *testing.T) {
	for _, want := range []Link{{}, full(), {ReqSeq: 7}, {HasAppSampled: true, AppSampled: true}, {HasCalls: true}} {
		s := ptrace.NewSpan()
		want.Put(s.Attributes())
		got, malformed := ReadLink(s)
		require.Zero(t, malformed)
		require.Equal(t, want, got)
	}
}

// TestAbsentFactsHaveNoAttribute: the contract forbids zeros.
func TestAbsentFactsHaveNoAttribute(t *testing.T) {
	m := pcommon.NewMap()
	(&Link{HintConfidence: .5}).Put(m)
	require.Zero(t, m.Len())
}

func TestMalformedAttributesReadAsAbsent(t *testing.T) {
	for _, tt := range []struct {
		key   string
		value any
	}{
		{AttrReqSeq, 0},
		{AttrReqSeq, -1},
		{AttrReqSeq, 1 << 32},
		{AttrReqSeq, "7"},
		{AttrRespSeq, 1.5},
		{AttrSystrace, ""},
		{AttrSystrace, "0"},
		{AttrSystrace, "0000000000000000"},
		{AttrSystrace, "xyz"},
		{AttrSystrace, "10000000000000000"},
		{AttrSystrace, 7},
		{AttrLateOf, "0"},
		{AttrLinkClass, ""},
		{AttrLinkClass, 1},
		{AttrPseudoThread, "-1"},
		{AttrLinkHint, 7},
		{AttrLinkHint, []any{"a", 7}},
		{AttrLinkConfidence, "0.5"},
		{AttrLinkConfidence, 0.0},
		{AttrLinkConfidence, 1.5},
		{AttrLinkConfidence, math.NaN()},
		{AttrLocalAddress, "localhost"},
		{AttrLocalAddress, 7},
		{AttrPeerPort, 65536},
		{AttrPeerPort, "80"},
		{AttrConnection, 7},
		{AttrAppTraceID, "00000000000000000000000000000000"},
		{AttrAppTraceID, "01"},
		{AttrAppTraceID, "zz000000000000000000000000000001"},
		{AttrAppParentID, "0000000000000000"},
		{AttrAppSampled, "true"},
		{AttrPending, "true"},
		{AttrCompatProducer, ""},
		{AttrCompatProducer, 1},
		{AttrCompatTap, 1},
		{AttrCompatHost, 1},
		{AttrCompatProcess, 0},
		{AttrCompatProcess, "nginx"},
		{AttrCompatProcess, -1},
		{AttrCompatRequestID, 0},
		{AttrCompatRequestID, "zz"},
		{AttrCompatResponseID, 1.5},
		{AttrCalls, -1},
		{AttrCalls, 1 << 31},
		{AttrCalls, "3"},
	} {
		s := ptrace.NewSpan()
		require.NoError(t, s.Attributes().FromRaw(map[string]any{tt.key: tt.value}))
		got, malformed := ReadLink(s)
		require.Equal(t, 1, malformed, "%s: %v", tt.key, tt.value)
		got.Hints, got.Local, got.Peer = nil, netip.AddrPort{}, netip.AddrPort{}
		require.Equal(t, Link{}, got, "%s: %v", tt.key, tt.value)
	}
}

func TestRawNeedsMoreThanSemanticConventions(t *testing.T) {
	sdk := Link{Local: full().Local, Peer: full().Peer, Connection: "c", ReqRequestID: []string{"a"}, RespRequestID: []string{"b"}}
	require.False(t, sdk.Raw())
	for i, l := range []Link{
		{ReqSeq: 1},
		{RespSeq: 1},
		{Systrace: 1},
		{PseudoThread: 1},
		{Hints: []string{"x"}},
		{AppTraceID: [16]byte{1}},
		{AppParentID: [8]byte{1}},
		{HasAppSampled: true},
		{Pending: true},
		{HasCalls: true},
	} {
		require.True(t, l.Raw(), "%d", i)
	}
}

// TestIDs pins the ids: agents and gateways of different versions must agree on them.
func TestIDs(t *testing.T) {
	h := Host{ID: "h", Boot: "b"}
	local, peer := full().Local, full().Peer
	base := SpanID(h, "client", local, peer, 1, 2)
	require.Equal(t, base, SpanID(h, "client", local, peer, 1, 2))
	for name, other := range map[string][8]byte{
		"host":  SpanID(Host{ID: "hb"}, "client", local, peer, 1, 2),
		"boot":  SpanID(Host{ID: "h", Boot: "c"}, "client", local, peer, 1, 2),
		"kind":  SpanID(h, "server", local, peer, 1, 2),
		"ends":  SpanID(h, "client", peer, local, 1, 2),
		"seq":   SpanID(h, "client", local, peer, 3, 2),
		"start": SpanID(h, "client", local, peer, 1, 3),
	} {
		require.NotEqual(t, base, other, name)
	}
	require.NotEqual(t, ServerSpanID("h", 1), ServerSpanID("h", 2))
	require.NotEqual(t, ServerSpanID("h", 1), ServerSpanID("g", 1))
	require.Equal(t, RawTraceID(1, 2, [8]byte{1}), RawTraceID(1, 2, [8]byte{2}), "both ends of an exchange agree")
	require.NotEqual(t, RawTraceID(1, 0, [8]byte{1}), RawTraceID(1, 0, [8]byte{2}))
	require.NotEqual(t, RawTraceID(1, 2, [8]byte{}), RawTraceID(2, 1, [8]byte{}))
	id := ServerSpanID("host", 1)
	require.Equal(t, "705ace110861e5d6", hex.EncodeToString(id[:]))
}
