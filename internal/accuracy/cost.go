package main

import "context"

type cost struct{}

func (r *report) costs(context.Context, *builder, []*workload) error { return nil }
