package protocol

import (
	"strconv"
	"strings"
)

func commandChar(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b == '_' || b == '.' || b == '-'
}

func isCommandWord(b []byte) bool {
	for _, c := range b {
		if !commandChar(c) {
			return false
		}
	}
	return len(b) > 0
}

// commandNames saves an allocation for each request of a usual command.
var commandNames = func() map[string]string {
	m := make(map[string]string)
	for name := range strings.FieldsSeq(`APPEND AUTH BITCOUNT BITFIELD BITOP BLMOVE BLPOP BRPOP
		BRPOPLPUSH BZPOPMAX BZPOPMIN COPY DBSIZE DECR DECRBY DEL DISCARD DUMP ECHO EVAL EVALSHA
		EVAL_RO EVALSHA_RO EXEC EXISTS EXPIRE EXPIREAT FCALL FLUSHALL FLUSHDB GEOADD GEOSEARCH GET
		GETDEL GETEX GETRANGE GETSET HDEL HELLO HEXISTS HGET HGETALL HINCRBY HKEYS HLEN HMGET HMSET
		HSCAN HSET HSETNX HVALS INCR INCRBY INCRBYFLOAT INFO KEYS LINDEX LLEN LMOVE LPOP LPUSH
		LPUSHX LRANGE LREM LSET LTRIM MGET MONITOR MOVE MSET MSETNX MULTI PERSIST PEXPIRE PFADD
		PFCOUNT PING PSETEX PSUBSCRIBE PSYNC PTTL PUBLISH PUNSUBSCRIBE QUIT RANDOMKEY RENAME
		RENAMENX REPLCONF RESET RESTORE ROLE RPOP RPOPLPUSH RPUSH RPUSHX SADD SCAN SCARD SDIFF
		SELECT SET SETEX SETNX SETRANGE SINTER SISMEMBER SMEMBERS SMISMEMBER SMOVE SORT SPOP
		SPUBLISH SRANDMEMBER SREM SSCAN SSUBSCRIBE STRLEN SUBSCRIBE SUNION SUNSUBSCRIBE SYNC TIME
		TOUCH TTL TYPE UNLINK UNSUBSCRIBE UNWATCH WAIT WATCH XACK XADD XAUTOCLAIM XCLAIM XDEL XLEN
		XPENDING XRANGE XREAD XREADGROUP XREVRANGE XTRIM ZADD ZCARD ZCOUNT ZINCRBY ZRANGE
		ZRANGEBYSCORE ZRANK ZREM ZREVRANGE ZSCAN ZSCORE`) {
		m[name] = name
	}
	return m
}()

// containers are the commands whose second word is part of the command. It is kept only when it is
// one of these, so that nothing a user typed passes for one.
var containers = func() map[string]map[string]bool {
	m := make(map[string]map[string]bool)
	for line := range strings.Lines(`ACL CAT DELUSER DRYRUN GENPASS GETUSER LIST LOAD LOG SAVE SETUSER USERS WHOAMI
CLIENT CACHING GETNAME GETREDIR ID INFO KILL LIST NO-EVICT NO-TOUCH PAUSE REPLY SETINFO SETNAME TRACKING TRACKINGINFO UNBLOCK UNPAUSE
CLUSTER ADDSLOTS ADDSLOTSRANGE BUMPEPOCH COUNTKEYSINSLOT DELSLOTS DELSLOTSRANGE FAILOVER FLUSHSLOTS FORGET GETKEYSINSLOT INFO KEYSLOT LINKS MEET MYID MYSHARDID NODES REPLICAS REPLICATE RESET SAVECONFIG SET-CONFIG-EPOCH SETSLOT SHARDS SLAVES SLOTS SLOT-STATS
COMMAND COUNT DOCS GETKEYS GETKEYSANDFLAGS INFO LIST
CONFIG GET RESETSTAT REWRITE SET
DEBUG JMAP OBJECT SEGFAULT SLEEP
FUNCTION DELETE DUMP FLUSH KILL LIST LOAD RESTORE STATS
LATENCY DOCTOR GRAPH HISTOGRAM HISTORY LATEST RESET
MEMORY DOCTOR MALLOC-STATS PURGE STATS USAGE
MODULE LIST LOAD LOADEX UNLOAD
OBJECT ENCODING FREQ IDLETIME REFCOUNT
PUBSUB CHANNELS NUMPAT NUMSUB SHARDCHANNELS SHARDNUMSUB
SCRIPT DEBUG EXISTS FLUSH KILL LOAD SHOW
SENTINEL CKQUORUM CONFIG FAILOVER FLUSHCONFIG GET-MASTER-ADDR-BY-NAME INFO-CACHE MASTER MASTERS MONITOR MYID REMOVE REPLICAS RESET SENTINELS SET SLAVES
SLOWLOG GET LEN RESET
XGROUP CREATE CREATECONSUMER DELCONSUMER DESTROY SETID
XINFO CONSUMERS GROUPS STREAM`) {
		words := strings.Fields(line)
		m[words[0]] = make(map[string]bool)
		for _, word := range words[1:] {
			m[words[0]][word] = true
		}
	}
	return m
}()

// secretive are the commands whose arguments may be credentials: they stay redacted whatever
// Options say.
var secretive = map[string]bool{"AUTH": true, "HELLO": true, "ACL": true, "CONFIG": true, "MIGRATE": true, "SENTINEL": true}

// name is the command in upper case, and the subcommand if it is part of the command. Empty when
// the name was not captured or has not the looks of one.
func (c *command) name() (name, sub string) {
	word := c.text(0)
	if !isCommandWord(word) {
		return "", ""
	}
	name = upperName(word)
	if subs := containers[name]; subs != nil && c.count > 1 {
		if word := upperName(c.text(1)); subs[word] {
			sub = word
		}
	}
	return name, sub
}

func upperName(b []byte) string {
	var buf [maxWord]byte
	up := buf[:copy(buf[:], b)]
	for i, c := range up {
		if c >= 'a' && c <= 'z' {
			up[i] = c - 'a' + 'A'
		}
	}
	if name, ok := commandNames[string(up)]; ok {
		return name
	}
	return string(up)
}

const marks = " ? ? ? ? ? ? ? ?"

// queryText is the command with its arguments, redacted unless raw ones were kept.
func (c *command) queryText(name, operation string) string {
	if c.wantRaw && !secretive[name] {
		out := name + text(c.raw)
		if len(c.raw) >= maxRaw || c.holed {
			out += " ..."
		}
		return out
	}
	arguments := c.count - 1
	if operation != name {
		arguments--
	}
	switch {
	case arguments == 0:
		return operation
	case arguments > maxMarks:
		return operation + marks + " ..."
	}
	return operation + marks[:2*arguments]
}

// message is the request as a span tells it. namespace is the database, negative when not known.
func (c *command) message(name, sub string, namespace int) *Message {
	operation := name
	if sub != "" {
		operation = name + " " + sub
	}
	m := newMessage()
	m.Name = operation
	m.Attributes = append(m.Attributes,
		String("db.system.name", "redis"),
		String("db.operation.name", operation),
		String("db.query.text", c.queryText(name, operation)))
	if namespace >= 0 {
		m.Attributes = append(m.Attributes, String("db.namespace", strconv.Itoa(namespace)))
	}
	return m
}
