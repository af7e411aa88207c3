package rawspan

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// keys are all attributes that ReadLink reads, and one that it does not.
var keys = []string{
	AttrReqSeq, AttrRespSeq, AttrSystrace, AttrPseudoThread, AttrLinkHint, AttrLinkConfidence, AttrLinkClass,
	AttrLateOf, AttrLocalAddress, AttrLocalPort, AttrPeerAddress, AttrPeerPort, AttrConnection,
	AttrReqRequestID, AttrRespRequestID, AttrAppTraceID, AttrAppParentID, AttrAppSampled, AttrPending, AttrCalls,
	AttrCompatProducer, AttrCompatHost, AttrCompatProcess, AttrCompatRequestID, AttrCompatResponseID, AttrCompatTap,
	"http.request.method",
}

// FuzzReadLink: whatever the attributes, what is read keeps the contract, and read again after it was
// written it is the same.
func FuzzReadLink(f *testing.F) {
	s := ptrace.NewSpan()
	l := full()
	l.Put(s.Attributes())
	for i, k := range keys {
		if v, ok := s.Attributes().Get(k); ok {
			f.Add([]byte{byte(i), byte(v.Type())}, v.AsString())
		}
	}
	f.Add([]byte{0, 2, 0, 0, 0, 0, 255, 255, 255, 255, 1, 3, 9}, "10.0.0.1")
	f.Fuzz(func(t *testing.T, program []byte, text string) {
		s := ptrace.NewSpan()
		perform(s.Attributes(), program, text)
		before := s.Attributes().Len()
		l, malformed := ReadLink(s)
		require.Equal(t, before, s.Attributes().Len(), "reading changes nothing")
		require.GreaterOrEqual(t, malformed, 0)
		require.False(t, l.HintConfidence != 0 && !(l.HintConfidence > 0 && l.HintConfidence <= 1))
		require.True(t, l.Compat.Producer != "" || l.Compat == Compat{})

		again := ptrace.NewSpan()
		l.Put(again.Attributes())
		back, malformed := ReadLink(again)
		// Put writes an address with its port, a confidence and a class with the kinds of evidence.
		if !l.Local.IsValid() {
			l.Local = back.Local
		}
		if !l.Peer.IsValid() {
			l.Peer = back.Peer
		}
		if len(l.Hints) == 0 {
			l.Hints, l.HintConfidence, l.HintClass = back.Hints, back.HintConfidence, back.HintClass
		}
		if len(l.ReqRequestID) == 0 {
			l.ReqRequestID = back.ReqRequestID
		}
		if len(l.RespRequestID) == 0 {
			l.RespRequestID = back.RespRequestID
		}
		if len(l.Hints) == 0 || l.HintConfidence > 0 {
			require.Zero(t, malformed)
		}
		require.Equal(t, l, back)
	})
}

// perform puts attributes into m: a byte for the key, one for the type, then the value.
func perform(m pcommon.Map, program []byte, text string) {
	for len(program) >= 2 {
		key, kind := keys[int(program[0])%len(keys)], program[1]%7
		program = program[2:]
		var word [8]byte
		if kind == 2 || kind == 3 {
			program = program[copy(word[:], program):]
		}
		switch n := binary.BigEndian.Uint64(word[:]); kind {
		case 1:
			m.PutStr(key, text)
		case 2:
			m.PutInt(key, int64(n))
		case 3:
			m.PutDouble(key, float64(int64(n))/(1<<62))
		case 4:
			m.PutBool(key, len(text) > 0)
		case 5:
			s := m.PutEmptySlice(key)
			s.AppendEmpty().SetStr(text)
			s.AppendEmpty().SetInt(1)
		case 6:
			m.PutEmptyMap(key)
		default:
			m.PutEmpty(key)
		}
	}
}
