package main

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
)

// event is one line of the record: what was opened, asked, sent or ended.
type event struct {
	Seq     int     `json:"seq"`
	Time    float64 `json:"time"` // seconds, of the record's own clock
	Kind    string  `json:"kind"` // open, close, request, response, accept
	Stream  int64   `json:"stream"`
	Delta   bool    `json:"delta"`
	Method  string  `json:"method,omitempty"`
	TypeURL string  `json:"type_url,omitempty"`
	Version string  `json:"version,omitempty"`
	Nonce   string  `json:"nonce,omitempty"`
	Error   string  `json:"error,omitempty"` // error_detail's message: this request is a NACK
	Code    int32   `json:"code,omitempty"`

	Names           []string            `json:"names,omitempty"`
	Subscribe       []string            `json:"subscribe,omitempty"`
	Unsubscribe     []string            `json:"unsubscribe,omitempty"`
	InitialVersions map[string]string   `json:"initial_versions,omitempty"`
	Removed         []string            `json:"removed,omitempty"`
	Count           int                 `json:"count,omitempty"` // resources in a response
	Node            json.RawMessage     `json:"node,omitempty"`
	Metadata        map[string][]string `json:"metadata,omitempty"`
}

// eventLog is the record. wait() lets the control API poll without spinning.
type eventLog struct {
	mu     sync.Mutex
	start  time.Time
	events []event
	grown  chan struct{}
}

func (l *eventLog) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.start = time.Now()
	l.events = nil
	if l.grown == nil {
		l.grown = make(chan struct{})
	}
}

func (l *eventLog) add(e event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.Seq = len(l.events)
	e.Time = time.Since(l.start).Seconds()
	l.events = append(l.events, e)
	close(l.grown)
	l.grown = make(chan struct{})
}

// since gives the events from number seq on; if there are none yet, it waits for one, but not longer than patience.
func (l *eventLog) since(seq int, patience time.Duration) []event {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		l.mu.Lock()
		grown := l.grown
		if seq < len(l.events) {
			found := append([]event(nil), l.events[seq:]...)
			l.mu.Unlock()
			return found
		}
		l.mu.Unlock()
		select {
		case <-grown:
		case <-deadline.C:
			return []event{}
		}
	}
}

// streamSet holds the streams that are open, so that bytes can be put on them from outside.
type streamSet struct {
	mu     sync.Mutex
	open   map[int64]*watched
	lastID int64
}

func (s *streamSet) add(w *watched) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[int64]*watched{}
	}
	s.lastID++
	w.id = s.lastID
	s.open[w.id] = w
}

func (s *streamSet) remove(w *watched) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, w.id)
}

func (s *streamSet) all() []*watched {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := make([]*watched, 0, len(s.open))
	for _, w := range s.open {
		found = append(found, w)
	}
	return found
}

// watched is a stream with its record; sends are serialised so that raw bytes may be put between.
type watched struct {
	grpc.ServerStream
	state  *state
	id     int64
	sendMu sync.Mutex
	ended  chan codes.Code
}

// rawBytes is sent as it is.
type rawBytes []byte

// intercept wraps every stream, and answers in raw mode instead of the xDS server.
func (s *state) intercept(srv any, inner grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	w := &watched{ServerStream: inner, state: s, ended: make(chan codes.Code, 1)}
	s.streams.add(w)
	md, _ := metadata.FromIncomingContext(inner.Context())
	s.events.add(event{Kind: "open", Stream: w.id, Method: info.FullMethod, Metadata: md})
	defer func() {
		s.streams.remove(w)
		s.events.add(event{Kind: "close", Stream: w.id})
	}()
	mode, _ := s.current()
	done := make(chan error, 1)
	go func() {
		if mode == modeRaw {
			done <- w.readOnly(info.FullMethod)
		} else {
			done <- next(srv, w)
		}
	}()
	select {
	case err := <-done:
		return err
	case code := <-w.ended:
		if code == codes.OK {
			return nil
		}
		return status.Error(code, "ended by the test")
	}
}

// readOnly records requests until the stream ends.
func (w *watched) readOnly(method string) error {
	delta := len(method) > 0 && isDelta(method)
	for {
		var message any = &discovery.DiscoveryRequest{}
		if delta {
			message = &discovery.DeltaDiscoveryRequest{}
		}
		if err := w.RecvMsg(message); err != nil {
			return err
		}
	}
}

func isDelta(method string) bool {
	for i := 0; i+6 <= len(method); i++ {
		if method[i:i+6] == "/Delta" {
			return true
		}
	}
	return false
}

func (w *watched) RecvMsg(message any) error {
	if err := w.ServerStream.RecvMsg(message); err != nil {
		return err
	}
	switch r := message.(type) {
	case *discovery.DiscoveryRequest:
		w.state.events.add(event{
			Kind: "request", Stream: w.id, TypeURL: r.GetTypeUrl(), Version: r.GetVersionInfo(),
			Nonce: r.GetResponseNonce(), Error: r.GetErrorDetail().GetMessage(), Code: r.GetErrorDetail().GetCode(),
			Names: r.GetResourceNames(), Node: nodeJSON(r),
		})
	case *discovery.DeltaDiscoveryRequest:
		w.state.events.add(event{
			Kind: "request", Stream: w.id, Delta: true, TypeURL: r.GetTypeUrl(), Nonce: r.GetResponseNonce(),
			Error: r.GetErrorDetail().GetMessage(), Code: r.GetErrorDetail().GetCode(),
			Subscribe: r.GetResourceNamesSubscribe(), Unsubscribe: r.GetResourceNamesUnsubscribe(),
			InitialVersions: r.GetInitialResourceVersions(), Node: nodeJSON(r),
		})
	}
	return nil
}

func nodeJSON(r interface {
	GetNode() *core.Node
}) json.RawMessage {
	if r.GetNode() == nil {
		return nil
	}
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(r.GetNode())
	if err != nil {
		return nil
	}
	return text
}

func (w *watched) SendMsg(message any) error {
	w.state.mu.Lock()
	delay := w.state.delay
	w.state.mu.Unlock()
	if delay > 0 {
		time.Sleep(delay)
	}
	// Recorded before it is sent, so that an answer to it never stands above it.
	switch r := message.(type) {
	case *discovery.DiscoveryResponse:
		w.state.events.add(event{
			Kind: "response", Stream: w.id, TypeURL: r.GetTypeUrl(), Version: r.GetVersionInfo(), Nonce: r.GetNonce(),
			Count: len(r.GetResources()),
		})
	case *discovery.DeltaDiscoveryResponse:
		names := make([]string, 0, len(r.GetResources()))
		for _, one := range r.GetResources() {
			names = append(names, one.GetName())
		}
		w.state.events.add(event{
			Kind: "response", Stream: w.id, Delta: true, TypeURL: r.GetTypeUrl(), Version: r.GetSystemVersionInfo(),
			Nonce: r.GetNonce(), Names: names, Removed: r.GetRemovedResources(), Count: len(names),
		})
	case rawBytes:
		w.state.events.add(event{Kind: "response", Stream: w.id, Count: len(r)})
	}
	w.sendMu.Lock()
	defer w.sendMu.Unlock()
	return w.ServerStream.SendMsg(message)
}

// codec is grpc's proto codec that lets rawBytes through untouched.
type codec struct{}

func (codec) Name() string { return grpcproto.Name }

func (codec) Marshal(v any) (mem.BufferSlice, error) {
	if raw, ok := v.(rawBytes); ok {
		return mem.BufferSlice{mem.SliceBuffer(raw)}, nil
	}
	inner := encoding.GetCodecV2(grpcproto.Name)
	if inner == nil {
		return nil, fmt.Errorf("no proto codec")
	}
	return inner.Marshal(v)
}

func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	return encoding.GetCodecV2(grpcproto.Name).Unmarshal(data, v)
}
