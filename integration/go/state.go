package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	clusterservice "github.com/envoyproxy/go-control-plane/envoy/service/cluster/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	endpointservice "github.com/envoyproxy/go-control-plane/envoy/service/endpoint/v3"
	extensionservice "github.com/envoyproxy/go-control-plane/envoy/service/extension/v3"
	listenerservice "github.com/envoyproxy/go-control-plane/envoy/service/listener/v3"
	routeservice "github.com/envoyproxy/go-control-plane/envoy/service/route/v3"
	runtimeservice "github.com/envoyproxy/go-control-plane/envoy/service/runtime/v3"
	secretservice "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/log"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// The three ways to serve.
const (
	modeLinear   = "linear"   // one LinearCache a type: each type changes alone, in the order the test says
	modeSnapshot = "snapshot" // the SnapshotCache in ADS mode, as most control planes use it
	modeRaw      = "raw"      // nothing is answered: the test sends bytes of its own making
)

const maxMessage = 512 << 20

// state is everything one server serves. reset() makes a new serving; the control API may be used all along.
type state struct {
	host string

	mu       sync.Mutex
	mode     string
	linear   map[string]*cache.LinearCache
	snapshot cache.SnapshotCache
	grpc     *grpc.Server
	hanging  net.Listener // accepts and says nothing, in place of grpc
	port     int
	delay    time.Duration
	prefix   string
	serial   int

	events  eventLog
	streams streamSet
}

func newState(host string) *state {
	return &state{host: host}
}

// reset drops all resources, streams and events, and serves on a fresh port.
func (s *state) reset(mode string) error {
	if mode != modeLinear && mode != modeSnapshot && mode != modeRaw {
		return fmt.Errorf("no mode %q", mode)
	}
	s.down()
	s.mu.Lock()
	s.serial++
	s.mode = mode
	s.delay = 0
	s.prefix = ""
	s.linear = map[string]*cache.LinearCache{}
	s.snapshot = cache.NewSnapshotCache(true, oneNode{}, quiet())
	s.port = 0
	s.mu.Unlock()
	s.events.clear()
	return s.up()
}

// down stops listening and ends every stream at once, as a killed server would.
func (s *state) down() {
	s.mu.Lock()
	running, hanging := s.grpc, s.hanging
	s.grpc, s.hanging = nil, nil
	s.mu.Unlock()
	if running != nil {
		running.Stop()
	}
	if hanging != nil {
		_ = hanging.Close()
	}
}

// up listens again, on the same port as before unless there was none.
func (s *state) up() error {
	listener, err := s.listen()
	if err != nil {
		return err
	}
	made := s.newServer()
	s.mu.Lock()
	s.grpc = made
	s.mu.Unlock()
	go func() { _ = made.Serve(listener) }()
	return nil
}

// hang listens and accepts, but never says a word.
func (s *state) hang() error {
	listener, err := s.listen()
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.hanging = listener
	s.mu.Unlock()
	go func() {
		var held []net.Conn
		for {
			conn, err := listener.Accept()
			if err != nil {
				for _, c := range held {
					_ = c.Close()
				}
				return
			}
			s.events.add(event{Kind: "accept"})
			held = append(held, conn)
		}
	}()
	return nil
}

func (s *state) listen() (net.Listener, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.grpc != nil || s.hanging != nil {
		return nil, errors.New("is already up")
	}
	listener, err := net.Listen("tcp", fmt.Sprintf("%s:%d", s.host, s.port))
	if err != nil {
		return nil, err
	}
	s.port = listener.Addr().(*net.TCPAddr).Port
	return listener, nil
}

func (s *state) newServer() *grpc.Server {
	made := grpc.NewServer(
		grpc.ForceServerCodecV2(codec{}), grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage),
		grpc.StreamInterceptor(s.intercept),
	)
	xds := server.NewServer(context.Background(), served{s}, callbacks{})
	discovery.RegisterAggregatedDiscoveryServiceServer(made, xds)
	clusterservice.RegisterClusterDiscoveryServiceServer(made, xds)
	endpointservice.RegisterEndpointDiscoveryServiceServer(made, xds)
	listenerservice.RegisterListenerDiscoveryServiceServer(made, xds)
	routeservice.RegisterRouteDiscoveryServiceServer(made, xds)
	secretservice.RegisterSecretDiscoveryServiceServer(made, xds)
	runtimeservice.RegisterRuntimeDiscoveryServiceServer(made, xds)
	extensionservice.RegisterExtensionConfigDiscoveryServiceServer(made, xds)
	return made
}

// update changes resources of one type: all of them when replace is set, else those named.
func (s *state) update(typeURL string, set map[string]types.Resource, remove []string, replace bool) error {
	linear := s.linearFor(typeURL)
	if replace {
		linear.SetResources(set)
		return nil
	}
	return linear.UpdateResources(set, remove)
}

func (s *state) setSnapshot(version string, resources map[string][]types.Resource) error {
	made, err := cache.NewSnapshot(version, resources)
	if err != nil {
		return err
	}
	return s.snapshot.SetSnapshot(context.Background(), nodeKey, made)
}

func (s *state) linearFor(typeURL string) *cache.LinearCache {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.linear[typeURL]
	if found == nil {
		found = cache.NewLinearCache(typeURL, cache.WithVersionPrefix(s.prefix), cache.WithLogger(quiet()))
		s.linear[typeURL] = found
	}
	return found
}

func (s *state) current() (string, cache.SnapshotCache) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mode, s.snapshot
}

// served is the cache the xDS servers see: it hands each watch to what is in force.
type served struct{ *state }

func (s served) CreateWatch(r *cache.Request, sub cache.Subscription, out chan cache.Response) (func(), error) {
	if mode, snapshot := s.current(); mode == modeSnapshot {
		return snapshot.CreateWatch(r, sub, out)
	}
	return s.linearFor(r.GetTypeUrl()).CreateWatch(r, sub, out)
}

func (s served) CreateDeltaWatch(
	r *cache.DeltaRequest, sub cache.Subscription, out chan cache.DeltaResponse,
) (func(), error) {
	if mode, snapshot := s.current(); mode == modeSnapshot {
		return snapshot.CreateDeltaWatch(r, sub, out)
	}
	return s.linearFor(r.GetTypeUrl()).CreateDeltaWatch(r, sub, out)
}

func (s served) Fetch(context.Context, *cache.Request) (cache.Response, error) {
	return nil, errors.New("streams only")
}

const nodeKey = "all"

// oneNode serves the same snapshot to every node.
type oneNode struct{}

func (oneNode) ID(*core.Node) string { return nodeKey }

// callbacks: what streams say is recorded by the interceptor, which sees the raw mode too.
type callbacks = server.CallbackFuncs

func quiet() log.Logger { return log.LoggerFuncs{} }

// resourceName finds the name by which a resource is known, for types go-control-plane does not list too.
func resourceName(message proto.Message) string {
	if name := cache.GetResourceName(message); name != "" {
		return name
	}
	field := message.ProtoReflect().Descriptor().Fields().ByName("name")
	if field == nil {
		return ""
	}
	return message.ProtoReflect().Get(field).String()
}
