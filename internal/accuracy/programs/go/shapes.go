package main

// shapes by name. internal/accuracy/go.go lists them with the calls that each makes for a request.
var shapes = map[string]func(*backend, int) shape{
	"handler":           handler,
	"sequential":        sequential,
	"late":              late,
	"late-raw":          lateRaw,
	"late-worker":       lateWorker,
	"upload":            upload,
	"no-keepalive":      noKeepalive,
	"conns-per-host":    connsPerHost,
	"timeout-select":    timeoutSelect,
	"worker-unbuffered": workerUnbuffered,
	"worker-buffered":   workerBuffered,
	"worker-select":     workerSelect,
	"worker-struct":     workerStruct,
	"worker-cond":       workerCond,
	"worker-waitgroup":  workerWaitGroup,
	"worker-raw":        workerRaw,
	"worker-skip":       workerSkip,
	"worker-spawn":      workerSpawn,
	"worker-ondemand":   workerOnDemand,
	"dispatcher":        dispatcher,
	"fanout":            fanout,
	"fanout-channel":    fanoutChannel,
	"fanout-sequential": fanoutSequential,
	"nested":            nested,
	"semaphore-struct":  semaphoreStruct,
	"semaphore-bool":    semaphoreBool,
	"semaphore-child":   semaphoreChild,
	"connection-pool":   connectionPool,
	"singleflight":      singleflight,
	"pipelined":         pipelined,
	"coalesced":         coalesced,
	"raw-grandchild":    rawGrandchild,
	"raw-fanout":        rawFanout,
	"redis-pool":        redisPooled,
	"redis-pipelined":   redisPipelined,
	"redis-multiplexed": redisMultiplexed,
}

func op(id, name string) string { return "/d/" + id + "/" + name }

// ops names the three calls of the shapes that make several.
var ops = [...]string{"a", "b", "c"}
