package rawspan

import (
	"encoding/hex"
	"fmt"
	"math"
	"net/netip"
	"strconv"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// Put writes the known facts of l as attributes.
func (l *Link) Put(m pcommon.Map) {
	if l.ReqSeq != 0 {
		m.PutInt(AttrReqSeq, int64(l.ReqSeq))
	}
	if l.RespSeq != 0 {
		m.PutInt(AttrRespSeq, int64(l.RespSeq))
	}
	if l.Systrace != 0 {
		m.PutStr(AttrSystrace, FormatID(l.Systrace))
	}
	if l.PseudoThread != 0 {
		m.PutStr(AttrPseudoThread, FormatID(l.PseudoThread))
	}
	if len(l.Hints) > 0 {
		putStrings(m, AttrLinkHint, l.Hints)
		m.PutDouble(AttrLinkConfidence, l.HintConfidence)
		if l.HintClass != "" {
			m.PutStr(AttrLinkClass, l.HintClass)
		}
	}
	if l.LateOf != 0 {
		m.PutStr(AttrLateOf, FormatID(l.LateOf))
	}
	putAddr(m, AttrLocalAddress, AttrLocalPort, l.Local)
	putAddr(m, AttrPeerAddress, AttrPeerPort, l.Peer)
	if l.Connection != "" {
		m.PutStr(AttrConnection, l.Connection)
	}
	putStrings(m, AttrReqRequestID, l.ReqRequestID)
	putStrings(m, AttrRespRequestID, l.RespRequestID)
	if l.AppTraceID != [16]byte{} {
		m.PutStr(AttrAppTraceID, hex.EncodeToString(l.AppTraceID[:]))
	}
	if l.AppParentID != [8]byte{} {
		m.PutStr(AttrAppParentID, hex.EncodeToString(l.AppParentID[:]))
	}
	if l.HasAppSampled {
		m.PutBool(AttrAppSampled, l.AppSampled)
	}
	if l.Pending {
		m.PutBool(AttrPending, true)
	}
	if l.HasCalls {
		m.PutInt(AttrCalls, int64(l.Calls))
	}
	l.Compat.put(m)
}

// ReadLink reads the link attributes of s. An attribute of the wrong type, a zero or a malformed
// id counts as absent and adds one to malformed; so do the words of another producer without its name.
func ReadLink(s ptrace.Span) (l Link, malformed int) { return ReadLinkAnd(s, nil) }

// ReadLinkAnd also calls rest, unless it is nil, with each attribute that is no link attribute.
func ReadLinkAnd(s ptrace.Span, rest func(key string, v pcommon.Value)) (l Link, malformed int) {
	bad := func() { malformed++ }
	s.Attributes().Range(func(k string, v pcommon.Value) bool {
		switch k {
		case AttrReqSeq:
			l.ReqSeq = readSeq(v, bad)
		case AttrRespSeq:
			l.RespSeq = readSeq(v, bad)
		case AttrSystrace:
			l.Systrace = readID(v, bad)
		case AttrPseudoThread:
			l.PseudoThread = readID(v, bad)
		case AttrLinkHint:
			l.Hints = readStrings(v, bad)
		case AttrLinkConfidence:
			// A NaN fails both comparisons.
			if c := v.Double(); v.Type() == pcommon.ValueTypeDouble && c > 0 && c <= 1 {
				l.HintConfidence = c
			} else {
				bad()
			}
		case AttrLinkClass:
			if v.Type() != pcommon.ValueTypeStr || v.Str() == "" {
				bad()
				break
			}
			l.HintClass = v.Str()
		case AttrLateOf:
			l.LateOf = readID(v, bad)
		case AttrLocalAddress:
			l.Local = netip.AddrPortFrom(readAddr(v, bad), l.Local.Port())
		case AttrPeerAddress:
			l.Peer = netip.AddrPortFrom(readAddr(v, bad), l.Peer.Port())
		case AttrLocalPort:
			l.Local = netip.AddrPortFrom(l.Local.Addr(), readPort(v, bad))
		case AttrPeerPort:
			l.Peer = netip.AddrPortFrom(l.Peer.Addr(), readPort(v, bad))
		case AttrConnection:
			if v.Type() != pcommon.ValueTypeStr {
				bad()
				break
			}
			l.Connection = v.Str()
		case AttrReqRequestID:
			l.ReqRequestID = readStrings(v, bad)
		case AttrRespRequestID:
			l.RespRequestID = readStrings(v, bad)
		case AttrAppTraceID:
			readHex(v, l.AppTraceID[:], bad)
		case AttrAppParentID:
			readHex(v, l.AppParentID[:], bad)
		case AttrAppSampled:
			if v.Type() != pcommon.ValueTypeBool {
				bad()
				break
			}
			l.AppSampled, l.HasAppSampled = v.Bool(), true
		case AttrPending:
			if v.Type() != pcommon.ValueTypeBool {
				bad()
				break
			}
			l.Pending = v.Bool()
		case AttrCalls:
			if v.Type() != pcommon.ValueTypeInt || v.Int() < 0 || v.Int() > math.MaxInt32 {
				bad()
				break
			}
			l.Calls, l.HasCalls = int(v.Int()), true
		case AttrCompatProducer:
			l.Compat.Producer = readWord(v, bad)
		case AttrCompatHost:
			l.Compat.Host = readWord(v, bad)
		case AttrCompatTap:
			l.Compat.Tap = readWord(v, bad)
		case AttrCompatProcess:
			if l.Compat.Process = readInt(v); l.Compat.Process <= 0 {
				l.Compat.Process = 0
				bad()
			}
		case AttrCompatRequestID:
			l.Compat.RequestID = readForeignID(v, bad)
		case AttrCompatResponseID:
			l.Compat.ResponseID = readForeignID(v, bad)
		default:
			if rest != nil {
				rest(k, v)
			}
		}
		return true
	})
	if l.Compat.Producer == "" && l.Compat != (Compat{}) {
		l.Compat = Compat{}
		bad()
	}
	return l, malformed
}

func (c *Compat) put(m pcommon.Map) {
	word := func(key, value string) {
		if value != "" {
			m.PutStr(key, value)
		}
	}
	id := func(key string, value uint64) {
		if value != 0 {
			m.PutStr(key, FormatID(value))
		}
	}
	word(AttrCompatProducer, c.Producer)
	word(AttrCompatHost, c.Host)
	word(AttrCompatTap, c.Tap)
	if c.Process != 0 {
		m.PutInt(AttrCompatProcess, c.Process)
	}
	id(AttrCompatRequestID, c.RequestID)
	id(AttrCompatResponseID, c.ResponseID)
}

// FormatID writes a 64-bit id the way the contract spells it: 16 lower-case hex digits.
func FormatID(id uint64) string { return fmt.Sprintf("%016x", id) }

func putStrings(m pcommon.Map, key string, values []string) {
	if len(values) == 0 {
		return
	}
	s := m.PutEmptySlice(key)
	for _, v := range values {
		s.AppendEmpty().SetStr(v)
	}
}

func putAddr(m pcommon.Map, addrKey, portKey string, a netip.AddrPort) {
	if !a.IsValid() {
		return
	}
	m.PutStr(addrKey, a.Addr().String())
	m.PutInt(portKey, int64(a.Port()))
}

func readSeq(v pcommon.Value, bad func()) uint32 {
	if v.Type() != pcommon.ValueTypeInt || v.Int() <= 0 || v.Int() > 0xffffffff {
		bad()
		return 0
	}
	return uint32(v.Int())
}

func readPort(v pcommon.Value, bad func()) uint16 {
	if v.Type() != pcommon.ValueTypeInt || v.Int() < 0 || v.Int() > 0xffff {
		bad()
		return 0
	}
	return uint16(v.Int())
}

func readAddr(v pcommon.Value, bad func()) netip.Addr {
	a, err := netip.ParseAddr(v.Str())
	if err != nil {
		bad()
	}
	return a
}

func readID(v pcommon.Value, bad func()) uint64 {
	id, err := strconv.ParseUint(v.Str(), 16, 64)
	if err != nil || id == 0 {
		bad()
		return 0
	}
	return id
}

func readWord(v pcommon.Value, bad func()) string {
	if v.Type() != pcommon.ValueTypeStr || v.Str() == "" {
		bad()
		return ""
	}
	return v.Str()
}

// readInt reads a number also where a producer writes it as text; 0 when it is none.
func readInt(v pcommon.Value) int64 {
	switch v.Type() {
	case pcommon.ValueTypeInt:
		return v.Int()
	case pcommon.ValueTypeStr:
		n, err := strconv.ParseInt(v.Str(), 10, 64)
		if err != nil {
			return 0
		}
		return n
	default:
		return 0
	}
}

// readForeignID reads an id as its producer has it: 64 bits in an integer, where OTLP has no sign to
// spare, or hex.
func readForeignID(v pcommon.Value, bad func()) uint64 {
	if v.Type() != pcommon.ValueTypeInt {
		return readID(v, bad)
	}
	if v.Int() == 0 {
		bad()
	}
	return uint64(v.Int())
}

func readHex(v pcommon.Value, dst []byte, bad func()) {
	s := v.Str()
	if len(s) != 2*len(dst) {
		bad()
		return
	}
	if _, err := hex.Decode(dst, []byte(s)); err != nil {
		clear(dst)
		bad()
		return
	}
	for _, b := range dst {
		if b != 0 {
			return
		}
	}
	bad()
}

func readStrings(v pcommon.Value, bad func()) []string {
	switch v.Type() {
	case pcommon.ValueTypeStr:
		return []string{v.Str()}
	case pcommon.ValueTypeSlice:
		out := make([]string, 0, v.Slice().Len())
		for _, e := range v.Slice().All() {
			if e.Type() != pcommon.ValueTypeStr {
				bad()
				continue
			}
			out = append(out, e.Str())
		}
		return out
	default:
		bad()
		return nil
	}
}
