// Serves GET /r/<id> in one of the ways in which programs make calls, see shapes; plain Node.js, without
// packages. Arguments: shape, backend, size of pools.
'use strict'
const http = require('http')
const fs = require('fs')
const v8 = require('v8')
const { AsyncLocalStorage, AsyncResource } = require('async_hooks')
const { setTimeout: sleep } = require('timers/promises')

// All of it each time that the space of new objects is full, see the pressure in node.go.
if (process.env.GARBAGE) v8.setFlagsFromString('--gc-global')

const [, , shape, backend, poolSize] = process.argv
const pool = Math.max(1, Number(poolSize))
const [host, port] = backend.split(':')

const unlimited = new http.Agent({ keepAlive: true })
const limited = new http.Agent({ keepAlive: true, maxSockets: pool })
const closing = new http.Agent({ keepAlive: false })
let agent = unlimited

// call with a callback: done(err).
function callThen (path, done) {
  const req = http.get({ host, port, path, agent }, (res) => {
    res.resume()
    res.on('end', () => done(null))
  })
  req.on('error', done)
}

const call = (path) => new Promise((resolve, reject) => callThen(path, (err) => err ? reject(err) : resolve()))

const op = (id, name) => call(`/d/${id}/${name}`)
const random = (most) => Math.floor(Math.random() * most)

// limit runs at most n tasks at once, the others wait: as p-limit does.
function limit (n) {
  const queue = []
  let running = 0
  const next = () => {
    if (running >= n || queue.length === 0) return
    running++
    const { task, resolve, reject } = queue.shift()
    task().then(resolve, reject).finally(() => { running--; next() })
  }
  return (task) => new Promise((resolve, reject) => { queue.push({ task, resolve, reject }); next() })
}

const limiter = limit(pool)
const storage = new AsyncLocalStorage()

// A lock that is handed on: who waits for it goes on when another lets it go.
const lock = limit(1)

// loader collects what is asked for in one turn and then asks for all of it: as DataLoader does.
let batch = null
function load (id, schedule) {
  if (!batch) {
    const mine = batch = []
    schedule(() => {
      batch = null
      Promise.all(mine.map((w) => op(w.id, 'load'))).then(() => mine.forEach((w) => w.resolve()), (err) => mine.forEach((w) => w.reject(err)))
    })
  }
  return new Promise((resolve, reject) => batch.push({ id, resolve, reject }))
}

// bound is a queue whose tasks keep the id of who left them: as pools of database connections have it.
const tasks = []
let busy = 0
function bound (task) {
  return new Promise((resolve, reject) => {
    tasks.push(AsyncResource.bind(() => task().then(resolve, reject).finally(() => { busy--; drain() })))
    drain()
  })
}
function drain () {
  while (busy < pool && tasks.length > 0) {
    busy++
    tasks.shift()()
  }
}

// flush is called by a timer that one request has started, and makes the calls of all that came since.
let waiting = null
function flushed (task) {
  if (!waiting) {
    const mine = waiting = []
    setTimeout(() => {
      waiting = null
      mine.forEach((w) => w.task().then(w.resolve, w.reject))
    }, 2)
  }
  return new Promise((resolve, reject) => waiting.push({ task, resolve, reject }))
}

// queued is a queue of callbacks that keeps nothing of who left them.
const left = []
let active = 0
function queued (task) {
  left.push(task)
  pump()
}
function pump () {
  while (active < pool && left.length > 0) {
    active++
    left.shift()(() => { active--; pump() })
  }
}

// The calls of nobody's, unless a shape has them wait in its queue.
let background = (path) => callThen(path, () => {})

const sequential = async (id) => { for (const n of ['a', 'b', 'c']) await op(id, n) }

const shapes = {
  direct: (id) => op(id, 'a'),
  callback: (id, done) => callThen(`/d/${id}/a`, done),
  sequential,
  'sequential-callback': (id, done) => callThen(`/d/${id}/a`, (e) => e ? done(e)
    : callThen(`/d/${id}/b`, (e) => e ? done(e) : callThen(`/d/${id}/c`, done))),
  'no-keepalive': (id) => { agent = closing; return op(id, 'a') },
  agent: (id) => { agent = limited; return op(id, 'a') },
  'agent-sequential': (id) => { agent = limited; return sequential(id) },
  'agent-callback': (id, done) => { agent = limited; shapes['sequential-callback'](id, done) },
  'agent-fanout': (id) => { agent = limited; return shapes.fanout(id) },
  timer: async (id) => { await sleep(random(5)); await op(id, 'a') },
  'timer-callback': (id, done) => setTimeout(() => callThen(`/d/${id}/a`, (e) => setTimeout(() => done(e), random(5))), random(5)),
  'timer-both': async (id) => { await sleep(random(5)); await op(id, 'a'); await sleep(random(5)) },
  immediate: (id, done) => setImmediate(() => process.nextTick(() => callThen(`/d/${id}/a`, done))),
  file: async (id) => { await fs.promises.stat(__filename); await op(id, 'a') },
  'file-both': async (id) => {
    await fs.promises.readFile(__filename); await op(id, 'a')
    await fs.promises.readFile(__filename); await op(id, 'b')
    await fs.promises.stat(__filename)
  },
  fanout: (id) => Promise.all(['a', 'b', 'c'].map((n) => op(id, n))),
  'fanout-sequential': (id) => Promise.all(['a', 'b', 'c'].map(async (n) => { await op(id, n + '1'); await op(id, n + '2') })),
  limiter: (id) => limiter(() => op(id, 'a')),
  'limiter-sequential': (id) => limiter(() => sequential(id)),
  'limiter-shared': (id) => {
    background = (path) => limiter(() => call(path)).catch(() => {})
    return shapes['limiter-each'](id)
  },
  'limiter-each': async (id) => { for (const n of ['a', 'b', 'c']) await limiter(() => op(id, n)) },
  'queue-callback': (id, done) => {
    background = (path) => queued((free) => callThen(path, free))
    const each = (n) => queued((free) => callThen(`/d/${id}/${n}`, (e) => { free(); e || n === 'c' ? done(e) : each(n === 'a' ? 'b' : 'c') }))
    each('a')
  },
  lock: async (id) => { await op(id, 'a'); await lock(async () => { if (random(2)) await sleep(0) }); await op(id, 'b') },
  'lock-answer': async (id) => { await op(id, 'a'); await lock(() => sleep(0)) },
  'lock-refreshed': async (id) => { await op(id, 'a'); await lock(() => Promise.resolve()) },
  'promise-refreshed': async (id) => { await op(id, 'a'); await fresh },
  'loader-tick': (id) => load(id, (f) => process.nextTick(f)),
  'loader-timer': (id) => load(id, (f) => setTimeout(f, 2)),
  'loader-immediate': async (id) => { await op(id, 'a'); await load(id, setImmediate) },
  flush: (id) => flushed(() => op(id, 'a')),
  'flush-sequential': (id) => flushed(() => sequential(id)),
  'bound-queue': (id) => bound(() => sequential(id)),
  'bound-file': (id) => bound(async () => { await fs.promises.stat(__filename); await sequential(id) }),
  storage: (id) => storage.run({ id }, async () => { await sleep(random(5)); await op(id, 'a'); await sleep(random(5)); await op(storage.getStore().id, 'b') }),
  'storage-limiter': (id) => storage.run({ id }, () => limiter(() => op(id, 'a')))
}
shapes['storage-agent'] = (id) => storage.run({ id }, () => shapes['agent-sequential'](id))

// What requests read after their call, and nobody reads while it is refreshed.
let fresh = Promise.resolve()
let refreshed = 1000000
const refresh = () => call(`/d/bg/${refreshed++}`)
if (shape.endsWith('-refreshed')) {
  const again = () => {
    fresh = shape === 'lock-refreshed' ? lock(refresh) : refresh()
    fresh.then(() => setTimeout(again, 15))
  }
  setTimeout(again, 15)
}

if (!shapes[shape]) throw new Error(`there is no shape ${shape}`)

const server = http.createServer((req, res) => {
  const id = req.url.slice('/r/'.length)
  const done = (err) => {
    if (err) res.statusCode = 500
    res.end(err ? String(err) : 'ok\n')
  }
  const promise = shapes[shape](id, done)
  if (promise instanceof Promise) promise.then(() => done(), done)
})
server.keepAliveTimeout = 60000

let made = 0
setInterval(() => background(`/d/bg/${made++}`), 5).unref()

server.listen(0, '127.0.0.1', () => console.log(`127.0.0.1:${server.address().port}`))
process.stdin.on('end', () => process.exit(0)).resume()
