package ebpflinkprocessor

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/link"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/sampling"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/store"
)

// leastBytes is the smallest storage::max_bytes: a batch of the usual limit of OTLP/gRPC, 4 MiB, fits
// many times.
const leastBytes = 64 << 20

// validateConfig reports every fault at once.
func validateConfig(c *Config) error {
	var errs []error
	between := func(key string, v, low, high time.Duration) {
		if v < low || v > high {
			errs = append(errs, fmt.Errorf("%s: %s is out of range: %s to %s", key, v, low, high))
		}
	}
	count := func(key string, v, low, high int) {
		if v < low || v > high {
			errs = append(errs, fmt.Errorf("%s: %d is out of range: %d to %d", key, v, low, high))
		}
	}
	between("window", c.Window, time.Millisecond, time.Hour)
	between("link_retention", c.LinkRetention, 0, 7*24*time.Hour)
	between("clock_tolerance", c.ClockTolerance, 0, time.Minute)
	count("max_candidates", c.MaxCandidates, 1, link.MaxCandidates)
	count("max_spans_waiting", c.MaxSpansWaiting, 1, 1_000_000_000)
	count("max_link_facts", c.MaxLinkFacts, 0, 1_000_000_000)
	count("max_spans_per_export", c.MaxSpansPerExport, 1, 1_000_000)
	if _, err := parseNetworks(c.TracedNetworks); err != nil {
		errs = append(errs, err)
	}
	if _, err := sampling.New(c.SamplingRatio); err != nil {
		errs = append(errs, fmt.Errorf("sampling_ratio: %g is %w; to export nothing, remove the pipeline", c.SamplingRatio, err))
	}
	if c.LinkRetention < c.Window && c.LinkRetention >= 0 {
		errs = append(errs, fmt.Errorf("link_retention: %s contradicts window: %s; link facts must outlive the window, so make it at least as long", c.LinkRetention, c.Window))
	}
	errs = append(errs, ruleFaults(c.Rules)...)
	for _, rule := range slices.Sorted(maps.Keys(c.RuleLimits)) {
		key := "rule_limits::" + rule
		switch {
		case !slices.Contains(link.AllRuleNames(), rule):
			errs = append(errs, fmt.Errorf("%s: %q is unknown: allowed are %s", key, rule, strings.Join(link.AllRuleNames(), ", ")))
		case !slices.Contains(c.Rules, rule):
			errs = append(errs, fmt.Errorf("%s: %q is not in rules: name it there, or remove its limit", key, rule))
		}
		count(key, c.RuleLimits[rule], 1, link.MaxCandidates)
	}
	switch s := c.Storage.Sync; s {
	case store.Interval:
		between("storage::sync_interval", c.Storage.SyncInterval, 10*time.Millisecond, time.Minute)
	case store.Always, store.Never:
	default:
		errs = append(errs, fmt.Errorf("storage::sync: %q is unknown: allowed are %s, %s, %s", s, store.Always, store.Interval, store.Never))
	}
	if b := c.Storage.MaxBytes; b != 0 && (b < leastBytes || b > 1<<50) {
		errs = append(errs, fmt.Errorf("storage::max_bytes: %d is out of range: %d to %d, or 0 for no limit", b, leastBytes, int64(1<<50)))
	}
	if d := c.Storage.Directory; d == "" && c.Storage.Sync == store.Always {
		errs = append(errs, errors.New(`storage::sync: "always" contradicts storage::directory: "", which keeps nothing on disk: name a directory`))
	} else if d != "" && !filepath.IsAbs(d) {
		errs = append(errs, fmt.Errorf("storage::directory: %q is relative: give an absolute path, or \"\" for memory only", d))
	}
	return errors.Join(errs...)
}

// ruleFaults names what is wrong with the choice of rules.
func ruleFaults(rules []string) (errs []error) {
	known := strings.Join(link.AllRuleNames(), ", ")
	if len(rules) == 0 {
		errs = append(errs, fmt.Errorf("rules: [] links nothing: name at least one of %s, or remove the processor", known))
	}
	for i, r := range rules {
		switch {
		case !slices.Contains(link.AllRuleNames(), r):
			errs = append(errs, fmt.Errorf("rules[%d]: %q is unknown: allowed are %s", i, r, known))
		case slices.Index(rules, r) < i:
			errs = append(errs, fmt.Errorf("rules[%d]: %q is named twice: name each rule once", i, r))
		case link.Statistical(r) && i < len(rules)-1:
			errs = append(errs, fmt.Errorf("rules[%d]: %q goes by times alone and would hide evidence of %s: name it last", i, r, strings.Join(rules[i+1:], ", ")))
		}
	}
	return errs
}
