package forest

import "fmt"

func (f *Forest) requestID() string {
	return fmt.Sprintf("%016x-%016x", f.rng.Uint64(), f.rng.Uint64())
}

// takeID: a request brings the id that its caller sent. A proxy that gets none makes one, and tells it in
// its response.
func (f *Forest) takeID(s *Span) {
	if s.Parent != nil {
		s.ReqID = s.Parent.ReqID
	}
	if !s.Process.Proxy {
		return
	}
	s.RespID = s.ReqID
	if s.ReqID == "" {
		s.RespID = f.requestID()
	}
	if s.Parent != nil && !s.Parent.NoAnswer {
		s.Parent.RespID = s.RespID
	}
}

// passID: a proxy sends the id on; a service does not.
func (f *Forest) passID(request, call *Span) {
	if request.Process.Proxy {
		call.ReqID = request.RespID
	}
}

// hide sends some calls through a proxy that is not traced.
func (f *Forest) hide(call *Span) {
	if !f.chance(f.Scenario.Hidden) {
		return
	}
	call.hidden = true
	if call.ReqID == "" {
		call.ReqID = f.requestID()
	}
}
