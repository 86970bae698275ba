package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime/debug"
	"sort"
	"strings"

	"github.com/envoyproxy/protoc-gen-validate/validate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// What a control plane can send: version 3 of the API and what that refers to.
var (
	seedPackage = regexp.MustCompile(`^(envoy|xds|udpa\.type|google\.rpc)(\.|$)`)
	seedFile    = regexp.MustCompile(`^google/protobuf/(any|duration|empty|field_mask|struct|timestamp|wrappers)\.proto$`)
	notSeed     = regexp.MustCompile(`\.v[12](alpha\d*|beta\d*)?$|\bannotations\b`)
)

const sourceModule = "github.com/envoyproxy/go-control-plane/envoy"

func writeKnownFields(out io.Writer, narrowingPath string) error {
	rules, err := readNarrowing(narrowingPath)
	if err != nil {
		return err
	}
	version, err := moduleVersion(sourceModule)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "# Made by proto/drift/update from %s %s: do not edit.\n", sourceModule, version)
	fmt.Fprintln(out, "# Per message: number, name, [repeated] type or map<key,value>, then marks: oneof=NAME")
	fmt.Fprintln(out, "# (NAME! when the official rules want one member), deprecated, narrowing (narrowing.txt).")
	for _, m := range knownMessages() {
		fmt.Fprintf(out, "%s\n", m.FullName())
		for _, f := range fieldsByNumber(m) {
			if f.JSONName() != camelCase(string(f.Name())) {
				return fmt.Errorf("%s has a JSON name of its own, known_fields.c cannot find it", f.FullName())
			}
			fmt.Fprintf(out, "  %d %s %s%s\n", f.Number(), f.Name(), fieldType(f), fieldMarks(f, rules))
		}
	}
	return rules.unused()
}

func moduleVersion(path string) (string, error) {
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, m := range info.Deps {
			if m.Path == path {
				return m.Version, nil
			}
		}
	}
	return "", fmt.Errorf("module %s is not in the build information", path)
}

// Messages of the seed files and, transitively, of their fields; sorted by name.
func knownMessages() []protoreflect.MessageDescriptor {
	found := map[protoreflect.FullName]protoreflect.MessageDescriptor{}
	var add func(m protoreflect.MessageDescriptor)
	add = func(m protoreflect.MessageDescriptor) {
		if _, ok := found[m.FullName()]; ok {
			return
		}
		if !m.IsMapEntry() {
			found[m.FullName()] = m
		}
		for i := 0; i < m.Messages().Len(); i++ {
			add(m.Messages().Get(i))
		}
		for i := 0; i < m.Fields().Len(); i++ {
			if f := m.Fields().Get(i); f.Message() != nil && !f.IsMap() {
				add(f.Message())
			} else if f.IsMap() && f.MapValue().Message() != nil {
				add(f.MapValue().Message())
			}
		}
	}
	protoregistry.GlobalFiles.RangeFiles(func(fd protoreflect.FileDescriptor) bool {
		name := string(fd.Package())
		if seedFile.MatchString(fd.Path()) || (seedPackage.MatchString(name) && !notSeed.MatchString(name)) {
			for i := 0; i < fd.Messages().Len(); i++ {
				add(fd.Messages().Get(i))
			}
		}
		return true
	})
	sorted := make([]protoreflect.MessageDescriptor, 0, len(found))
	for _, m := range found {
		sorted = append(sorted, m)
	}
	sort.Slice(sorted, func(a, b int) bool { return sorted[a].FullName() < sorted[b].FullName() })
	return sorted
}

func fieldsByNumber(m protoreflect.MessageDescriptor) []protoreflect.FieldDescriptor {
	var fields []protoreflect.FieldDescriptor
	for i := 0; i < m.Fields().Len(); i++ {
		fields = append(fields, m.Fields().Get(i))
	}
	sort.Slice(fields, func(a, b int) bool { return fields[a].Number() < fields[b].Number() })
	return fields
}

func fieldType(f protoreflect.FieldDescriptor) string {
	switch {
	case f.IsMap():
		return "map<" + fieldType(f.MapKey()) + "," + fieldType(f.MapValue()) + ">"
	case f.IsList():
		return "repeated " + singularType(f)
	default:
		return singularType(f)
	}
}

func singularType(f protoreflect.FieldDescriptor) string {
	switch f.Kind() {
	case protoreflect.MessageKind:
		return string(f.Message().FullName())
	case protoreflect.EnumKind:
		return "enum"
	default:
		return f.Kind().String()
	}
}

func fieldMarks(f protoreflect.FieldDescriptor, rules *narrowing) string {
	var marks strings.Builder
	isRequired := false
	if o := f.ContainingOneof(); o != nil && !o.IsSynthetic() {
		isRequired = proto.GetExtension(o.Options(), validate.E_Required).(bool)
		marks.WriteString(" oneof=" + string(o.Name()))
		if isRequired {
			marks.WriteString("!")
		}
	}
	if f.Options().(*descriptorpb.FieldOptions).GetDeprecated() {
		marks.WriteString(" deprecated")
	}
	if rules.covers(string(f.FullName()), isRequired) {
		marks.WriteString(" narrowing")
	}
	return marks.String()
}

func camelCase(name string) string {
	var out []byte
	for i := 0; i < len(name); i++ {
		if name[i] == '_' {
			if i+1 < len(name) && name[i+1] >= 'a' && name[i+1] <= 'z' {
				i++
				out = append(out, name[i]-'a'+'A')
			}
			continue
		}
		out = append(out, name[i])
	}
	return string(out)
}

// One line of narrowing.txt; `*` stands for any run of characters, `!` in front exempts.
type narrowingRule struct {
	pattern  string
	regexp   *regexp.Regexp
	isExempt bool
	isUsed   bool
}

type narrowing struct {
	rules []*narrowingRule
}

func readNarrowing(path string) (*narrowing, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	n := &narrowing{}
	for _, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(strings.SplitN(line, "#", 2)[0])
		if line == "" {
			continue
		}
		pattern, isExempt := strings.CutPrefix(line, "!")
		quoted := strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*")
		n.rules = append(n.rules, &narrowingRule{
			pattern:  line,
			regexp:   regexp.MustCompile("^" + quoted + "$"),
			isExempt: isExempt,
		})
	}
	return n, nil
}

// An exemption beats every other rule, the one for required oneofs included.
func (n *narrowing) covers(field string, inRequiredOneof bool) bool {
	isCovered, isExempt := inRequiredOneof, false
	for _, r := range n.rules {
		if r.regexp.MatchString(field) {
			r.isUsed = true
			isCovered = isCovered || !r.isExempt
			isExempt = isExempt || r.isExempt
		}
	}
	return isCovered && !isExempt
}

// A pattern without a field is a misspelt one, or its field is gone.
func (n *narrowing) unused() error {
	var errs []error
	for _, r := range n.rules {
		if !r.isUsed {
			errs = append(errs, fmt.Errorf("narrowing pattern %q matches no field", r.pattern))
		}
	}
	return errors.Join(errs...)
}
