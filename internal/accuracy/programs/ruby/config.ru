# A Rack application. BACKEND is the address of the backend, SHAPE how calls are made, WORKERS how many threads make them.
require 'net/http'

HOST, PORT = ENV.fetch('BACKEND').split(':')

def once(path)
  Net::HTTP.get_response(HOST, path, PORT.to_i).value
end

# On a connection that the thread keeps.
def kept(path)
  http = Thread.current[:backend] ||= Net::HTTP.new(HOST, PORT.to_i).tap { |h| h.keep_alive_timeout = 30; h.start }
  http.get(path).value
end

Thread.new do
  n = 0
  loop do
    sleep 0.01
    kept("/d/bg/#{n += 1}")
  end
end

# What a pool and the requests that wait for it share.
SHAPE = ENV.fetch('SHAPE')
TASKS = SHAPE == 'pool-bounded' ? SizedQueue.new(2) : Queue.new
LOCK = Mutex.new
READY = ConditionVariable.new
RESULTS = {}

def busy
  200.times { |i| Math.sqrt(i) }
end

def worker
  loop do
    id, reply = TASKS.pop
    result = once("/d/#{id}/a")
    case SHAPE
    when 'pool-mutex'
      LOCK.synchronize { busy }
      reply << result
    when 'pool-condition'
      LOCK.synchronize do
        RESULTS[id] = true
        READY.broadcast
      end
    else
      reply << result
    end
  end
end

def pool(id)
  reply = Queue.new
  TASKS << [id, reply]
  case SHAPE
  when 'pool-condition'
    LOCK.synchronize { READY.wait(LOCK) until RESULTS.delete(id) }
  when 'pool-mutex'
    LOCK.synchronize { busy }
    reply.pop
  when 'pool-refreshed'
    reply.pop
    LOCK.synchronize {}
  when 'pool-awaited'
    reply.pop
    LOCK.synchronize { READY.wait(LOCK) until RESULTS[:fresh] }
  else
    reply.pop
  end
end

ENV.fetch('WORKERS').to_i.times { Thread.new { worker } } if SHAPE.start_with?('pool')

# What requests read after their call, and nobody reads while it is refreshed.
if SHAPE == 'pool-refreshed'
  Thread.new do
    (1_000_000..).each do |n|
      LOCK.synchronize { kept("/d/bg/#{n}") }
      sleep 0.015
    end
  end
end

# What requests wait for, and another thread calls for.
if SHAPE == 'pool-awaited'
  Thread.new do
    (1_000_000..).each do |n|
      LOCK.synchronize { RESULTS[:fresh] = false }
      kept("/d/bg/#{n}")
      LOCK.synchronize { RESULTS[:fresh] = true; READY.broadcast }
      sleep 0.015
    end
  end
end

run(lambda do |env|
  id = env['PATH_INFO'].delete_prefix('/r/')
  case SHAPE
  when 'sequential'
    %w[a b c].each { |op| kept("/d/#{id}/#{op}") }
  when 'after-reply'
    once("/d/#{id}/a")
    env['rack.after_reply'] << -> { kept("/d/bg/late-#{id}") }
  when 'spawned'
    Thread.new { once("/d/#{id}/a") }.join
  when /^pool/
    pool(id)
  else
    once("/d/#{id}/a")
  end
  [200, { 'Content-Type' => 'text/plain' }, ["ok\n"]]
end)
