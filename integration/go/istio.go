package main

import (
	"log"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// The two filter types that Istio puts into nearly every configuration and that no public Go module carries together
// with Envoy's: as many of their fields as occur, so that such configurations can be served.
var istioFiles = []string{`
	name: "nuncio/istio_alpn.proto" package: "istio.envoy.config.filter.http.alpn.v2alpha1" syntax: "proto3"
	message_type {
		name: "FilterConfig"
		field { name: "alpn_override" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE json_name: "alpnOverride"
			type_name: ".istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig.AlpnOverride" }
		nested_type {
			name: "AlpnOverride"
			field { name: "upstream_protocol" number: 1 label: LABEL_OPTIONAL type: TYPE_ENUM json_name: "upstreamProtocol"
				type_name: ".istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig.Protocol" }
			field { name: "alpn_override" number: 2 label: LABEL_REPEATED type: TYPE_STRING json_name: "alpnOverride" }
		}
		enum_type {
			name: "Protocol"
			value { name: "HTTP10" number: 0 } value { name: "HTTP11" number: 1 } value { name: "HTTP2" number: 2 }
		}
	}`, `
	name: "nuncio/istio_stats.proto" package: "stats" syntax: "proto3"
	message_type {
		name: "PluginConfig"
		field { name: "disable_host_header_fallback" number: 6 label: LABEL_OPTIONAL type: TYPE_BOOL
			json_name: "disableHostHeaderFallback" }
		field { name: "reporter" number: 10 label: LABEL_OPTIONAL type: TYPE_ENUM json_name: "reporter"
			type_name: ".stats.Reporter" }
	}
	enum_type {
		name: "Reporter"
		value { name: "UNSPECIFIED" number: 0 } value { name: "SERVER_GATEWAY" number: 1 }
	}`,
}

func init() {
	for _, text := range istioFiles {
		described := &descriptorpb.FileDescriptorProto{}
		if err := prototext.Unmarshal([]byte(text), described); err != nil {
			log.Fatal(err)
		}
		file, err := protodesc.NewFile(described, protoregistry.GlobalFiles)
		if err != nil {
			log.Fatal(err)
		}
		registerAll(file.Messages())
	}
}

func registerAll(messages protoreflect.MessageDescriptors) {
	for i := 0; i < messages.Len(); i++ {
		if err := protoregistry.GlobalTypes.RegisterMessage(dynamicpb.NewMessageType(messages.Get(i))); err != nil {
			log.Fatal(err)
		}
		registerAll(messages.Get(i).Messages())
	}
}
