package link

import "time"

// SameCallConfidence is given to a link of an SDK span and the eBPF span that is the only one it can be the
// same call as: one of another call takes its place when both of the call's own other spans were lost. So often is it
// right in the worst traffic that was made for it when 60 % of all spans are lost (design.md); with 5 %, 999 of 1000 times.
const SameCallConfidence = 0.9

const (
	// sameCallSlack is how far the inner span may reach out of the outer one: SDKs that read the clock in
	// milliseconds are that far off.
	sameCallSlack = 2 * time.Millisecond
	// sameCallAfter is how much later than its response a handler may be done with its request.
	sameCallAfter = SkewTolerance
	// sameCallApart is how near a second candidate makes both doubtful.
	sameCallApart = SkewTolerance
	// sameCallRest, and one part in sameCallShare of it, is how much of the outer span the inner one may leave: what
	// is much shorter is more likely of another call, whose own other span was lost.
	sameCallRest  = SkewTolerance
	sameCallShare = 8
	// maxStated is how far up an SDK span is followed to the request that it was made in.
	maxStated = 32
)

// The spans of one call, the SDK's and the eBPF one, that no header names to each other: a request without a
// header in which the SDK began a trace, and a call that the SDK sent no header with (a database). The inner
// one goes under the outer one: the SDK's SERVER span under the eBPF SERVER span, the eBPF CLIENT span under
// the SDK's CLIENT span. They are of one process, by host and process id or by service and instance; or, where the SDK
// names its process by neither as eBPF sees it, of one container or pod, whose processes are then one: whatever makes a
// pair doubtful may come from any of them.
var (
	requestOfProcess  = sameCall(Server, byProcess)
	requestOfInstance = sameCall(Server, byInstance)
	requestOfPlace    = sameCall(Server, byPlace)
	clientOfProcess   = sameCall(Client, byProcess)
	clientOfInstance  = sameCall(Client, byInstance)
	clientOfPlace     = sameCall(Client, byPlace)
)

// way is how spans say that they are of one process.
type way struct {
	key func(*Index, View) (Key, bool)
	by  field
	// same compares what is behind equal keys.
	same func(a, b *owner) bool
	// places is that of the row.
	places bool
}

var (
	byProcess = way{
		key: func(x *Index, f View) (Key, bool) {
			pid := x.of(f).PID
			if f.Host == 0 || pid == 0 {
				return 0, false
			}
			return domainProcess.key(f.Host, uint64(pid), uint64(f.Role)), true
		},
		by:   fieldProcessID,
		same: func(a, b *owner) bool { return a.Host == b.Host && a.PID == b.PID },
	}
	byInstance = way{
		key: func(x *Index, f View) (Key, bool) {
			instance := x.of(f).Instance
			if f.Service == 0 || instance == 0 {
				return 0, false
			}
			return domainInstance.key(uint64(f.Service), uint64(instance), uint64(f.Role)), true
		},
		by:   fieldInstance,
		same: func(a, b *owner) bool { return a.Service == b.Service && a.Instance == b.Instance },
	}
	byPlace = way{
		key: func(x *Index, f View) (Key, bool) {
			site := x.of(f).site
			return siteKey(site, f.Role), site != 0
		},
		by:     fieldPlace,
		same:   func(a, b *owner) bool { return a.samePlace(&b.who) },
		places: true,
	}
)

func sameCall(side Role, by way) row {
	inner, outer := innerCall, outerCall
	within, around := isRaw|isClient, isSDK|isClient
	if side == Server {
		inner, outer = innerRequest, outerRequest
		within, around = isSDK|isServer, isRaw|isServer
	}
	r := row{
		rule: SDKSameCall, class: probable, local: true, slack: sameCallApart, flat: true, quota: sameCallQuota, paired: true, places: by.places,
		refers: &keyed{hasWords | within, func(x *Index, f View) (k Key, ok bool) {
			if inner(f) {
				return by.key(x, f)
			}
			return 0, false
		}},
		defines: &keyed{hasWords | around, func(x *Index, f View) (k Key, ok bool) {
			if outer(f) {
				return by.key(x, f)
			}
			return 0, false
		}},
		limits: nearlyWithin,
		fits: func(x *Index, c, p View) score {
			return when(by.same(x.of(c), x.of(p)))
		},
		objects: func(x *Index, c, p View) objection {
			if by.places {
				if not := x.elsewhere(c, p); not != nil {
					return objection{fact: not}
				}
			}
			return x.notSame(side, c, p)
		},
		confidence: func(View) float32 { return SameCallConfidence },
		judge: func(x *Index, child ID, r *row, k Key, found Edge) (Edge, objection) {
			return x.onlyPair(side, child, r, k, found)
		},
		compares: comparison{
			key: []field{by.by, fieldService}, must: []field{fieldContainer, fieldPod, fieldMethod, fieldSystem, fieldPath, fieldStatus},
		},
	}
	if by.places {
		// What a container is called is not what its processes are.
		r.compares.key, r.compares.also = r.compares.key[:1], []field{fieldService}
		r.compares.must = append(r.compares.must, fieldHost)
	}
	if side == Server {
		r.veto = ledElsewhere
	} else {
		r.compares.must = append(r.compares.must, fieldServerPort)
	}
	return r
}

// elsewhere is what says that an SDK's span and a raw one are not of one container or pod, or there not of one process;
// nil for nothing.
func (x *Index) elsewhere(c, p View) *field {
	sdk, raw := ofSDK(c, p)
	own, seen := x.of(sdk), x.of(raw)
	switch {
	case !own.samePlace(&seen.who):
		return &fieldPlace
	case differ(own.Host, seen.Host):
		return &fieldHost
	case own.sameProcess(&seen.who):
		return nil
	default:
		return x.namedBy(own)
	}
}

// namedBy is how an SDK names its process as raw spans do, nil where it does not.
func (x *Index) namedBy(own *owner) *field {
	by, seen := x.owners.seen(own)
	if !seen {
		return nil
	}
	return [...]*field{&fieldProcessID, &fieldInstance}[by]
}

// otherService: of the SDK's span and the raw one, which run in one place, the former is of a service that other raw spans
// are of there.
func (x *Index) otherService(c, p View) bool {
	sdk, _ := ofSDK(c, p)
	return c.Service != 0 && p.Service != 0 && c.Service != p.Service && x.owners.serves(x.of(sdk))
}

// ofSDK is which of the two is of the SDK, and which is not.
func ofSDK(c, p View) (own, raw View) {
	if c.Raw {
		return p, c
	}
	return c, p
}

// innerRequest: a SERVER span of an SDK. Those with a parent are no children of this rule (see ledElsewhere),
// and may be what makes another one doubtful.
func innerRequest(f View) bool { return !f.Raw && f.Role == Server && f.OwnTrace != TraceID{} }

// outerRequest: a request that came without a header.
func outerRequest(f View) bool {
	return f.Raw && f.Role == Server && f.CtxTrace == TraceID{} && !f.Foreign
}

// innerCall: a call without a header.
func innerCall(f View) bool {
	return f.Raw && f.Role == Client && f.CtxTrace == TraceID{} && f.LateOf == 0 && !f.Foreign
}

// outerCall: a CLIENT span of an SDK. Whether its header was seen shows when it is compared.
func outerCall(f View) bool { return !f.Raw && f.Role == Client && f.OwnTrace != TraceID{} }

// ledElsewhere: the SDK span has a parent, or calls with its trace's header say in which request it began.
func ledElsewhere(x *Index, c View) bool {
	if c.CtxParent != (SpanID{}) {
		return true
	}
	var one [1]ID
	calls, crowd := x.defs.get(ledKey(c.OwnTrace), &one)
	for _, id := range calls {
		if f := x.View(id); witnesses(f) && f.CtxTrace == c.OwnTrace && f.Service == c.Service {
			return true
		}
	}
	return crowd != nil
}

// notSame is what says, beside time, that child and parent are not the same call.
func (x *Index) notSame(side Role, c, p View) objection {
	same, own, other := c.said.agree(p.said.words), x.of(c), x.of(p)
	switch {
	case same < 0:
		return objection{why: whyConflict}
	case differ(own.Container, other.Container):
		return objection{fact: &fieldContainer}
	case differ(own.Pod, other.Pod):
		return objection{fact: &fieldPod}
	}
	if side == Server {
		return x.notSameRequest(c, same)
	}
	// Of a call they must say at least where it went.
	if portsDiffer(c, p) || (same == 0 && (c.peerPort == 0 || p.peerPort == 0)) {
		return objection{fact: &fieldServerPort}
	}
	if by, seen := x.headerSeen(c, p); seen {
		return objection{why: whyHeaderSeen, rival: by}
	}
	r := x.requestAround(p)
	if r == None {
		return objection{}
	}
	of := x.View(r)
	if c.Systrace != 0 {
		if c.Systrace != of.Systrace || c.Host != of.Host {
			return objection{why: whyOtherRequest, rival: of.core}
		}
	} else if x.judge(nearlyWithin, c, of) != admitted {
		return objection{why: whyOtherRequest, rival: of.core}
	}
	return objection{}
}

// notSameRequest is notSame of the SERVER spans of a request, which say so much alike.
func (x *Index) notSameRequest(c View, same int) objection {
	if same == 0 {
		return objection{fact: &fieldMethod}
	}
	if !hasContext(c) {
		return objection{}
	}
	// One whose header was seen at another request is that one's.
	var one [1]ID
	readers, crowd := x.defs.get(idKey(domainCarried, c.CtxTrace, c.CtxParent), &one)
	switch {
	case len(readers) > 0:
		return objection{why: whyHeaderSeen, rival: x.core(readers[0])}
	case crowd != nil:
		return objection{why: whyHeaderSeen}
	}
	return objection{}
}

// portsDiffer: both say to which port the call went, and not the same.
func portsDiffer(c, p View) bool {
	return c.peerPort != 0 && p.peerPort != 0 && c.peerPort != p.peerPort
}

// nearlyWithin is generous: what is so is at least doubtful.
var nearlyWithin = []limit{{kind: notBefore, allow: sameCallApart}, {kind: notAfter, allow: sameCallApart}, {kind: endsInside, allow: sameCallApart}}

var requestSurelyWithin, callSurelyWithin = surely(sameCallAfter), surely(sameCallSlack)

// surelyWithin is what a link takes.
func surelyWithin(side Role) []limit {
	if side == Server {
		return requestSurelyWithin
	}
	return callSurelyWithin
}

func surely(after time.Duration) []limit {
	return []limit{
		{kind: nearlyAsLong, allow: sameCallRest, share: sameCallShare},
		{kind: notBefore, allow: sameCallSlack},
		{kind: notAfter},
		{kind: endsInside, allow: after},
	}
}

// headerSeen: the SDK's CLIENT span p was read off a header, of another call than c, or has a CLIENT span of the SDK
// within it that c may be the same call as: then p is not, or not the innermost. That span is by, unless there are too many.
func (x *Index) headerSeen(c, p View) (by *core, seen bool) {
	var one [1]ID
	refs, crowd := x.refs.get(spanKey(p.own, p.Span), &one)
	for _, id := range refs {
		f := x.View(id)
		if f.CtxTrace != p.OwnTrace || f.CtxParent != p.Span {
			continue
		}
		if !f.Raw && f.Role == Server && x.cameBy(id, c) {
			continue
		}
		if f.Raw || f.Role == Server || (f.Role == Client && x.judge(nearlyWithin, c, f) == admitted && c.said.agree(f.said.words) >= 0) {
			return f.core, true
		}
	}
	return nil, crowd != nil
}

// requestAround is the eBPF SERVER span of the request that the SDK made p in, None where that is not known.
func (x *Index) requestAround(p View) ID {
	for range maxStated {
		if !hasContext(p) {
			return None
		}
		var one [1]ID
		up, crowd := x.defs.get(contextKey(p), &one)
		if crowd != nil || len(up) != 1 || x.definitions(p, contextKey(p)) != 1 {
			return None
		}
		next := x.View(up[0])
		if next.Raw || next.OwnTrace != p.CtxTrace || next.Span != p.CtxParent {
			return None
		}
		if p = next; p.Role != Server {
			continue
		}
		e := x.Resolve(up[0])
		if e.Outcome != Linked {
			return None
		}
		if r := x.core(e.Parent); r.Raw && r.Role == Server {
			return e.Parent
		}
		return None
	}
	return None
}

// onlyPair keeps a link only where each of the two is the only one that the other may be the same call as,
// also by a generous allowance, and where nothing that is exact says otherwise.
func (x *Index) onlyPair(side Role, child ID, r *row, k Key, found Edge) (Edge, objection) {
	if found.Outcome != Linked {
		return found, objection{}
	}
	c, p := x.View(child), x.View(found.Parent)
	not := func(o Outcome, why objection) (Edge, objection) {
		why.of = p.core
		return Edge{Parent: None, Outcome: o, Rule: r.rule, Candidates: found.Candidates}, why
	}
	if v := x.judge(surelyWithin(side), c, p); v != admitted {
		return not(Inadmissible, objection{time: v})
	}
	// Who names the process as eBPF sees it is found by that, or not at all.
	if own, _ := ofSDK(c, p); r.places {
		if by := x.namedBy(x.of(own)); by != nil {
			return not(Inadmissible, objection{fact: by})
		}
		if x.otherService(c, p) {
			return not(Inadmissible, objection{fact: &fieldService})
		}
	}
	// A call whose request is known stays in it: then the SDK's span has to be of that request, too.
	if side == Client && c.Systrace != 0 && x.requestAround(p) == None {
		return not(Inadmissible, objection{fact: &fieldRequest})
	}
	var rival *core
	looked := x.sameMoment(&x.refs, r, k, p, func(id ID) bool {
		if id != child {
			if o := x.View(id); sameEnd(o, c) && x.rate(r, o, p) != unfit {
				rival = o.core
			}
		}
		return rival == nil
	})
	switch {
	case rival != nil:
		return not(Ambiguous, objection{why: whyRivalChild, rival: rival})
	case !looked:
		return not(Overrun, objection{why: whyLimit})
	case side == Client:
		if request := x.answerOfAnother(child, found.Parent); request != nil {
			return not(Inadmissible, objection{why: whyAnswersAnother, rival: request})
		}
	}
	return found, objection{}
}

// sameEnd: both are what the rule's child is: keys are hashes.
func sameEnd(a, b View) bool { return a.Raw == b.Raw && a.Role == b.Role }

// spokenFor: what the other side of a row says is known, so the row may link.
func (x *Index) spokenFor(r *row, k Key, f View, other *postings) bool {
	switch {
	case !r.paired:
		return true
	case r.places:
		return x.sizeInPlace(other, f) > 0
	default:
		return other.size(k) > 0
	}
}

func word8(w uint8) string { return number(uint64(w)) }

var (
	fieldProcessID = owned("host.id,process.pid", func(v View, o *owner) string {
		if v.Host == 0 || o.PID == 0 {
			return ""
		}
		return id64(v.Host) + "/" + number(uint64(o.PID))
	})
	fieldInstance  = owned("service.instance.id", func(_ View, o *owner) string { return id64(uint64(o.Instance)) })
	fieldContainer = owned("container.id", func(_ View, o *owner) string { return id64(o.Container) })
	fieldPod       = owned("k8s.pod.uid", func(_ View, o *owner) string { return id64(o.Pod) })
	// fieldPlace is the container where both say it, else the pod.
	fieldPlace = field{"container.id,k8s.pod.uid", func(x *Index, c, p View) (string, string) {
		a, b := x.of(c), x.of(p)
		if a.Container != 0 && b.Container != 0 {
			return id64(a.Container), id64(b.Container)
		}
		return id64(a.Pod), id64(b.Pod)
	}}
	fieldMethod = own("http.request.method", func(v View) string { return word8(v.said.Method) })
	fieldSystem = own("db.system.name,rpc.system", func(v View) string { return word8(v.said.System) })
	fieldPath   = own("url.path", func(v View) string { return word8(v.said.Path) })
	// fieldServerPort is for CLIENT spans.
	fieldServerPort = own("server.port", func(v View) string { return number(uint64(v.peerPort)) })
	fieldStatus     = own("http.response.status_code", func(v View) string { return word8(v.said.Status) })
)
