package link

// Words for why a candidate lost; README.md says what each means. For time the word is that of the verdict.
const (
	whyEquallyGood    = "equally_good"
	whyOutranked      = "outranked"
	whyWeaker         = "weaker"
	whyConflict       = "conflict"
	whyAbsent         = "absent"
	whyUnfit          = "unfit"
	whyLimit          = "candidate_limit"
	whyRivalChild     = "rival_child"
	whyRivalParent    = "rival_parent"
	whyHeaderSeen     = "header_seen"
	whyOtherRequest   = "other_request"
	whyAnswered       = "answered"
	whyAnswersAnother = "answers_another"
	whyLeadsElsewhere = "leads_elsewhere"
)

// objection is why a candidate is not the parent, though the key and time allow it; the zero value is none.
type objection struct {
	// why is the word for it; without one the fact says it.
	why string
	// fact is what speaks against the candidate.
	fact *field
	// time is what limits say that are not those of the row.
	time verdict
	// rival is another span that is in the way.
	rival *core
	// of is the candidate, where it is a judge who objects.
	of *core
}

func (o *objection) raised() bool { return o.why != "" || o.fact != nil || o.time != admitted }

// rate is how well p fits; not at all where the limits of the row or what it objects exclude it.
func (x *Index) rate(r *row, c, p View) score {
	if r.limits != nil && x.judge(r.limits, c, p) != admitted {
		return unfit
	}
	if r.objects != nil {
		if o := r.objects(x, c, p); o.raised() {
			return unfit
		}
	}
	return r.fits(x, c, p)
}
