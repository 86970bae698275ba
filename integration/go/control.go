package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"
)

// newControl is the control API. Bodies and answers are JSON; an error is 400 with its text.
//
//	POST /reset    {mode, version_prefix}       all gone, a fresh port -> {port}
//	POST /set      {type_url, resources, remove, replace}  linear mode: one type
//	POST /snapshot {version, resources: {type_url: [...]}} snapshot mode
//	POST /serve    {state: up|down|hang}        kill and restart, same port; hang accepts and is silent
//	POST /delay    {ms}                         before every response
//	POST /raw      {bytes (base64) | response | delta_response}  on every open stream, as it is
//	POST /end      {code}                       end every open stream with that gRPC status
//	GET  /log?since=N&wait=MS                   the record of streams, requests and responses
//
// A resource is JSON with "@type", or {"@type": ..., "name": ..., "bytes": base64} for bytes of the test's own making.
func newControl(s *state) http.Handler {
	mux := http.NewServeMux()
	handle(mux, "POST /reset", func(in struct {
		Mode          string `json:"mode"`
		VersionPrefix string `json:"version_prefix"`
	}) (any, error) {
		if err := s.reset(in.Mode); err != nil {
			return nil, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.prefix = in.VersionPrefix
		return map[string]int{"port": s.port}, nil
	})
	handle(mux, "POST /set", func(in struct {
		TypeURL   string            `json:"type_url"`
		Resources []json.RawMessage `json:"resources"`
		Remove    []string          `json:"remove"`
		Replace   bool              `json:"replace"`
	}) (any, error) {
		set := map[string]types.Resource{}
		for _, text := range in.Resources {
			message, err := decode(text, in.TypeURL)
			if err != nil {
				return nil, err
			}
			set[resourceName(message)] = message
		}
		return struct{}{}, s.update(in.TypeURL, set, in.Remove, in.Replace)
	})
	handle(mux, "POST /snapshot", func(in struct {
		Version   string                       `json:"version"`
		Resources map[string][]json.RawMessage `json:"resources"`
	}) (any, error) {
		set := map[string][]types.Resource{}
		for typeURL, texts := range in.Resources {
			set[typeURL] = []types.Resource{}
			for _, text := range texts {
				message, err := decode(text, typeURL)
				if err != nil {
					return nil, err
				}
				set[typeURL] = append(set[typeURL], message)
			}
		}
		return struct{}{}, s.setSnapshot(in.Version, set)
	})
	handle(mux, "POST /serve", func(in struct {
		State string `json:"state"`
	}) (any, error) {
		switch in.State {
		case "up":
			return struct{}{}, s.up()
		case "down":
			s.down()
			return struct{}{}, nil
		case "hang":
			return struct{}{}, s.hang()
		}
		return nil, fmt.Errorf("no state %q", in.State)
	})
	handle(mux, "POST /delay", func(in struct {
		Milliseconds int `json:"ms"`
	}) (any, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.delay = time.Duration(in.Milliseconds) * time.Millisecond
		return struct{}{}, nil
	})
	handle(mux, "POST /raw", s.sendRaw)
	handle(mux, "POST /end", func(in struct {
		Code int `json:"code"`
	}) (any, error) {
		for _, stream := range s.streams.all() {
			stream.ended <- codes.Code(in.Code)
		}
		return struct{}{}, nil
	})
	mux.HandleFunc("GET /log", func(w http.ResponseWriter, r *http.Request) {
		since, _ := strconv.Atoi(r.FormValue("since"))
		wait, _ := strconv.Atoi(r.FormValue("wait"))
		answer(w, s.events.since(since, time.Duration(wait)*time.Millisecond), nil)
	})
	return mux
}

type rawRequest struct {
	Bytes         string          `json:"bytes"`
	Response      json.RawMessage `json:"response"`
	DeltaResponse json.RawMessage `json:"delta_response"`
}

func (s *state) sendRaw(in rawRequest) (any, error) {
	var message any
	switch {
	case in.Response != nil:
		made := &discovery.DiscoveryResponse{}
		if err := protojson.Unmarshal(in.Response, made); err != nil {
			return nil, err
		}
		message = made
	case in.DeltaResponse != nil:
		made := &discovery.DeltaDiscoveryResponse{}
		if err := protojson.Unmarshal(in.DeltaResponse, made); err != nil {
			return nil, err
		}
		message = made
	default:
		raw, err := base64.StdEncoding.DecodeString(in.Bytes)
		if err != nil {
			return nil, err
		}
		message = rawBytes(raw)
	}
	open := s.streams.all()
	if len(open) == 0 {
		return nil, errors.New("no stream is open")
	}
	for _, stream := range open {
		if err := stream.SendMsg(message); err != nil {
			return nil, err
		}
	}
	return map[string]int{"streams": len(open)}, nil
}

// decode makes the message that a resource's JSON describes.
func decode(text json.RawMessage, typeURL string) (proto.Message, error) {
	var given struct {
		Type  string  `json:"@type"`
		Name  string  `json:"name"`
		Bytes *string `json:"bytes"`
	}
	if err := json.Unmarshal(text, &given); err == nil && given.Bytes != nil {
		raw, err := base64.StdEncoding.DecodeString(*given.Bytes)
		if err != nil {
			return nil, err
		}
		return (&anypb.Any{TypeUrl: given.Type, Value: raw}).UnmarshalNew()
	}
	if given.Type == "" {
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(text, &fields); err != nil {
			return nil, err
		}
		fields["@type"], _ = json.Marshal(typeURL)
		text, _ = json.Marshal(fields)
	}
	holder := &anypb.Any{}
	if err := protojson.Unmarshal(text, holder); err != nil {
		// An extension that is nobody's but one control plane's: served with its type and an empty value.
		lax := protojson.UnmarshalOptions{DiscardUnknown: true, Resolver: stubs{protoregistry.GlobalTypes}}
		if !strings.Contains(err.Error(), "unable to resolve") || lax.Unmarshal(text, holder) != nil {
			return nil, err
		}
	}
	return holder.UnmarshalNew()
}

// stubs finds an empty message for every type URL that is not known.
type stubs struct{ *protoregistry.Types }

func (s stubs) FindMessageByURL(url string) (protoreflect.MessageType, error) {
	found, err := s.Types.FindMessageByURL(url)
	if err == nil {
		return found, nil
	}
	name := protoreflect.FullName(url[strings.LastIndexByte(url, '/')+1:])
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("stub/" + string(name)), Package: proto.String(string(name.Parent())),
		Syntax:      proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String(string(name.Name()))}},
	}, nil)
	if err != nil {
		return nil, err
	}
	return dynamicpb.NewMessageType(file.Messages().Get(0)), nil
}

func handle[T any](mux *http.ServeMux, pattern string, do func(T) (any, error)) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		var in T
		text, err := io.ReadAll(r.Body)
		if err == nil && len(text) > 0 {
			err = json.Unmarshal(text, &in)
		}
		var out any
		if err == nil {
			out, err = do(in)
		}
		answer(w, out, err)
	})
}

func answer(w http.ResponseWriter, out any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out)
}
