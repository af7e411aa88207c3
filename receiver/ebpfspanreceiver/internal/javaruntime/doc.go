// Package javaruntime finds out how to tell what the threads of a Java VM do: which virtual thread one runs, which
// task of a pool, and what it waits for.
//
// HotSpot describes its own structures in memory, for debuggers: gHotSpotVMStructs and its companions
// are exported symbols of libjvm.so (hotspot/share/runtime/vmStructs.hpp), so a build without a symbol
// table will do. Everything is read from the memory of the process, and what was derived is checked
// against each of its threads before it is believed. Nothing is written, loaded or called in it.
package javaruntime
