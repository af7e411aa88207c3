# A Rack application. BACKEND is the address of the backend, SHAPE how calls are made.
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

after = Queue.new

run(lambda do |env|
  id = env['PATH_INFO'].delete_prefix('/r/')
  case ENV.fetch('SHAPE')
  when 'sequential'
    %w[a b c].each { |op| kept("/d/#{id}/#{op}") }
  when 'after-reply'
    once("/d/#{id}/a")
    env['rack.after_reply'] << -> { kept("/d/bg/late-#{id}") }
  when 'spawned'
    Thread.new { once("/d/#{id}/a") }.join
  else
    once("/d/#{id}/a")
  end
  [200, { 'Content-Type' => 'text/plain' }, ["ok\n"]]
end)
