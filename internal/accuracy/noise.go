package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"runtime"
)

// hogArgument makes this executable a hog instead of a measurement.
const hogArgument = "hog"

// startHog lets other processes compete for every processor until the returned function is called.
func startHog(ctx context.Context) (stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	// Of its own, so that it has no share in this process' time, and ends with its standard input.
	cmd := exec.CommandContext(ctx, self, hogArgument)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() { _ = in.Close(); _ = cmd.Wait() }, nil
}

// beHog computes on every processor until standard input ends.
func beHog() {
	for range runtime.NumCPU() {
		go func() {
			for n := uint64(1); n != 0; n += 2 { // never 0: odd
			}
		}()
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
}
