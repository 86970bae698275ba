package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

type differences struct {
	list []error
}

func (d *differences) add(format string, args ...any) {
	d.list = append(d.list, fmt.Errorf(format, args...))
}

func checkSubset(path string) error {
	bytes, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(bytes, set); err != nil {
		return err
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		return err
	}
	if files.NumFiles() == 0 {
		return errors.New("the subset has no files")
	}
	d := &differences{}
	files.RangeFiles(func(fd protoreflect.FileDescriptor) bool {
		d.file(fd)
		return true
	})
	return errors.Join(d.list...)
}

func (d *differences) file(ours protoreflect.FileDescriptor) {
	if strings.HasPrefix(ours.Path(), "istio/") {
		return // no public Go module carries Istio's
	}
	official, err := protoregistry.GlobalFiles.FindFileByPath(ours.Path())
	if err != nil {
		d.add("%s: no such official file", ours.Path())
		return
	}
	if ours.Package() != official.Package() {
		d.add("%s: package %s, officially %s", ours.Path(), ours.Package(), official.Package())
		return
	}
	for i := 0; i < ours.Messages().Len(); i++ {
		d.message(ours.Messages().Get(i), official.Messages())
	}
	for i := 0; i < ours.Enums().Len(); i++ {
		d.enum(ours.Enums().Get(i), official.Enums())
	}
}

func (d *differences) message(ours protoreflect.MessageDescriptor, among protoreflect.MessageDescriptors) {
	official := among.ByName(ours.Name())
	if official == nil {
		d.add("%s: no such message in the official %s", ours.FullName(), ours.ParentFile().Path())
		return
	}
	for i := 0; i < ours.Fields().Len(); i++ {
		d.field(ours.Fields().Get(i), official)
	}
	for i := 0; i < ours.Messages().Len(); i++ {
		d.message(ours.Messages().Get(i), official.Messages())
	}
	for i := 0; i < ours.Enums().Len(); i++ {
		d.enum(ours.Enums().Get(i), official.Enums())
	}
}

func (d *differences) field(ours protoreflect.FieldDescriptor, message protoreflect.MessageDescriptor) {
	official := message.Fields().ByNumber(ours.Number())
	if official == nil {
		d.add("%s: no official field has number %d", ours.FullName(), ours.Number())
		return
	}
	if ours.Name() != official.Name() {
		d.add("%s: number %d is officially %s", ours.FullName(), ours.Number(), official.Name())
	}
	if a, b := exactType(ours), exactType(official); a != b {
		d.add("%s: type %s, officially %s", ours.FullName(), a, b)
	}
	if a, b := oneofName(ours), oneofName(official); a != b {
		d.add("%s: oneof %q, officially %q", ours.FullName(), a, b)
	}
	if a, b := isOptional(ours), isOptional(official); a != b {
		d.add("%s: proto3 optional is %t, officially %t", ours.FullName(), a, b)
	}
}

func exactType(f protoreflect.FieldDescriptor) string {
	if f.Kind() == protoreflect.EnumKind {
		return fieldType(f) + " " + string(f.Enum().FullName())
	}
	return fieldType(f)
}

// Proto3 `optional`, which protoc-c refuses, is written `oneof _f { T f = n; }`.
func isOptional(f protoreflect.FieldDescriptor) bool {
	o := f.ContainingOneof()
	return o != nil && (o.IsSynthetic() || strings.HasPrefix(string(o.Name()), "_"))
}

func oneofName(f protoreflect.FieldDescriptor) string {
	if o := f.ContainingOneof(); o != nil && !isOptional(f) {
		return string(o.Name())
	}
	return ""
}

// An enum has all of its values or is not there at all.
func (d *differences) enum(ours protoreflect.EnumDescriptor, among protoreflect.EnumDescriptors) {
	official := among.ByName(ours.Name())
	if official == nil {
		d.add("%s: no such enum in the official %s", ours.FullName(), ours.ParentFile().Path())
		return
	}
	for i := 0; i < ours.Values().Len(); i++ {
		v := ours.Values().Get(i)
		if o := official.Values().ByName(v.Name()); o == nil || o.Number() != v.Number() {
			d.add("%s: %s = %d is not official", ours.FullName(), v.Name(), v.Number())
		}
	}
	for i := 0; i < official.Values().Len(); i++ {
		if v := official.Values().Get(i); ours.Values().ByName(v.Name()) == nil {
			d.add("%s: lacks %s = %d", ours.FullName(), v.Name(), v.Number())
		}
	}
}
