package main

import "io"

func (r *report) document(w io.Writer) {}
