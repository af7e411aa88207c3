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
	putStrings(m, AttrRefused, l.Refused)
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

// Attr is a link attribute, 0 none.
type Attr uint8

const (
	_ Attr = iota
	isReqSeq
	isRespSeq
	isSystrace
	isPseudoThread
	isLinkHint
	isLinkConfidence
	isLinkClass
	isLateOf
	isLocalAddress
	isPeerAddress
	isLocalPort
	isPeerPort
	isConnection
	isReqRequestID
	isRespRequestID
	isAppTraceID
	isAppParentID
	isAppSampled
	isPending
	isCalls
	isCompatProducer
	isCompatHost
	isCompatTap
	isCompatProcess
	isCompatRequestID
	isCompatResponseID
)

var attrKeys = [...]string{
	isReqSeq:           AttrReqSeq,
	isRespSeq:          AttrRespSeq,
	isSystrace:         AttrSystrace,
	isPseudoThread:     AttrPseudoThread,
	isLinkHint:         AttrLinkHint,
	isLinkConfidence:   AttrLinkConfidence,
	isLinkClass:        AttrLinkClass,
	isLateOf:           AttrLateOf,
	isLocalAddress:     AttrLocalAddress,
	isPeerAddress:      AttrPeerAddress,
	isLocalPort:        AttrLocalPort,
	isPeerPort:         AttrPeerPort,
	isConnection:       AttrConnection,
	isReqRequestID:     AttrReqRequestID,
	isRespRequestID:    AttrRespRequestID,
	isAppTraceID:       AttrAppTraceID,
	isAppParentID:      AttrAppParentID,
	isAppSampled:       AttrAppSampled,
	isPending:          AttrPending,
	isCalls:            AttrCalls,
	isCompatProducer:   AttrCompatProducer,
	isCompatHost:       AttrCompatHost,
	isCompatTap:        AttrCompatTap,
	isCompatProcess:    AttrCompatProcess,
	isCompatRequestID:  AttrCompatRequestID,
	isCompatResponseID: AttrCompatResponseID,
}

var attrs = func() map[string]Attr {
	m := make(map[string]Attr, len(attrKeys))
	for a, key := range attrKeys[1:] {
		m[key] = Attr(a + 1)
	}
	return m
}()

// AttrOf says which link attribute has the key.
func AttrOf(key string) Attr { return attrs[key] }

// ReadLink reads the link attributes of s. An attribute of the wrong type, a zero or a malformed
// id counts as absent and adds one to malformed; so do the words of another producer without its name.
func ReadLink(s ptrace.Span) (l Link, malformed int) {
	var r LinkReader
	s.Attributes().Range(func(k string, v pcommon.Value) bool {
		r.Read(AttrOf(k), v)
		return true
	})
	l = *r.End()
	return l, r.malformed
}

// LinkReader reads the links of one span after the other, attribute by attribute.
type LinkReader struct {
	Link
	malformed int
	addrs     addresses
}

// Begin forgets the last span.
func (r *LinkReader) Begin() { r.Link, r.malformed = Link{}, 0 }

// End returns what was read of the span; it is valid until Begin.
func (r *LinkReader) End() *Link {
	if r.Compat.Producer == "" && r.Compat != (Compat{}) {
		r.Compat = Compat{}
		r.bad()
	}
	return &r.Link
}

// Malformed is how many attributes of the span were not as they should be.
func (r *LinkReader) Malformed() int { return r.malformed }

func (r *LinkReader) bad() { r.malformed++ }

// is reports whether v is of type t, and counts it if not.
func (r *LinkReader) is(v pcommon.Value, t pcommon.ValueType) bool {
	if v.Type() != t {
		r.bad()
		return false
	}
	return true
}

// int reads a number that is at least low and at most high.
func (r *LinkReader) int(v pcommon.Value, low, high int64) (n int64, ok bool) {
	if n = v.Int(); v.Type() != pcommon.ValueTypeInt || n < low || n > high {
		r.bad()
		return 0, false
	}
	return n, true
}

// Read reads an attribute.
func (r *LinkReader) Read(a Attr, v pcommon.Value) {
	switch a {
	case isReqSeq:
		r.ReqSeq = r.seq(v)
	case isRespSeq:
		r.RespSeq = r.seq(v)
	case isSystrace:
		r.Systrace = r.id(v)
	case isPseudoThread:
		r.PseudoThread = r.id(v)
	case isLinkHint:
		r.Hints = r.strings(v)
	case isLinkConfidence:
		// A NaN fails both comparisons.
		if c := v.Double(); v.Type() == pcommon.ValueTypeDouble && c > 0 && c <= 1 {
			r.HintConfidence = c
		} else {
			r.bad()
		}
	case isLinkClass:
		if class := r.word(v); class != "" {
			r.HintClass = class
		}
	case isLateOf:
		r.LateOf = r.id(v)
	case isLocalAddress:
		r.Local = netip.AddrPortFrom(r.addr(v), r.Local.Port())
	case isPeerAddress:
		r.Peer = netip.AddrPortFrom(r.addr(v), r.Peer.Port())
	case isLocalPort:
		r.Local = netip.AddrPortFrom(r.Local.Addr(), r.port(v))
	case isPeerPort:
		r.Peer = netip.AddrPortFrom(r.Peer.Addr(), r.port(v))
	case isConnection:
		if r.is(v, pcommon.ValueTypeStr) {
			r.Connection = v.Str()
		}
	case isReqRequestID:
		r.ReqRequestID = r.strings(v)
	case isRespRequestID:
		r.RespRequestID = r.strings(v)
	case isAppTraceID:
		r.hex(v, r.AppTraceID[:])
	case isAppParentID:
		r.hex(v, r.AppParentID[:])
	case isAppSampled:
		if r.is(v, pcommon.ValueTypeBool) {
			r.AppSampled, r.HasAppSampled = v.Bool(), true
		}
	case isPending:
		if r.is(v, pcommon.ValueTypeBool) {
			r.Pending = v.Bool()
		}
	case isCalls:
		if n, ok := r.int(v, 0, math.MaxInt32); ok {
			r.Calls, r.HasCalls = int(n), true
		}
	case isCompatProducer:
		r.Compat.Producer = r.word(v)
	case isCompatHost:
		r.Compat.Host = r.word(v)
	case isCompatTap:
		r.Compat.Tap = r.word(v)
	case isCompatProcess:
		if r.Compat.Process = readInt(v); r.Compat.Process <= 0 {
			r.Compat.Process = 0
			r.bad()
		}
	case isCompatRequestID:
		r.Compat.RequestID = r.foreignID(v)
	case isCompatResponseID:
		r.Compat.ResponseID = r.foreignID(v)
	}
}

// addr reads an address.
func (r *LinkReader) addr(v pcommon.Value) netip.Addr {
	a, ok := r.addrs.parse(v.Str())
	if !ok {
		r.bad()
	}
	return a
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

func (r *LinkReader) seq(v pcommon.Value) uint32 {
	n, _ := r.int(v, 1, math.MaxUint32)
	return uint32(n)
}

func (r *LinkReader) port(v pcommon.Value) uint16 {
	n, _ := r.int(v, 0, math.MaxUint16)
	return uint16(n)
}

func (r *LinkReader) id(v pcommon.Value) uint64 {
	id, err := strconv.ParseUint(v.Str(), 16, 64)
	if err != nil || id == 0 {
		r.bad()
		return 0
	}
	return id
}

// word reads a text that is not empty.
func (r *LinkReader) word(v pcommon.Value) string {
	if !r.is(v, pcommon.ValueTypeStr) {
		return ""
	}
	if v.Str() == "" {
		r.bad()
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

// foreignID reads an id as its producer has it: 64 bits in an integer, where OTLP has no sign to
// spare, or hex.
func (r *LinkReader) foreignID(v pcommon.Value) uint64 {
	if v.Type() != pcommon.ValueTypeInt {
		return r.id(v)
	}
	if v.Int() == 0 {
		r.bad()
	}
	return uint64(v.Int())
}

func (r *LinkReader) hex(v pcommon.Value, dst []byte) {
	s := v.Str()
	if len(s) != 2*len(dst) {
		r.bad()
		return
	}
	if _, err := hex.Decode(dst, []byte(s)); err != nil {
		clear(dst)
		r.bad()
		return
	}
	for _, b := range dst {
		if b != 0 {
			return
		}
	}
	r.bad()
}

func (r *LinkReader) strings(v pcommon.Value) []string {
	switch v.Type() {
	case pcommon.ValueTypeStr:
		return []string{v.Str()}
	case pcommon.ValueTypeSlice:
		out := make([]string, 0, v.Slice().Len())
		for _, e := range v.Slice().All() {
			if e.Type() != pcommon.ValueTypeStr {
				r.bad()
				continue
			}
			out = append(out, e.Str())
		}
		return out
	default:
		r.bad()
		return nil
	}
}
