package config

import (
	"errors"
	"reflect"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

// CheckGlobal completes what was read of the global option, and refuses a second
// one.
func CheckGlobal(d *caddyfile.Dispenser, read Site, existing any) error {
	// Caddy writes placeholders out in sites alone.
	id := caddyfile.Segment{{Text: *read.Wiki}}
	httpcaddyfile.NewShorthandReplacer().ApplyToSegment(&id)
	*read.Wiki = id[0].Text
	if existing == nil {
		return nil
	}
	d.Reset()
	d.Next()
	return errors.Join(d.Err("the global option oauth is given more than once"))
}

// Inherit takes every setting that own leaves out from the global option, which
// may be that of the other directive. Both are pointers to module types. A wiki
// and the wikis that it may be belong together.
func Inherit(own, global any) {
	if global == nil {
		return
	}
	to, from := reflect.ValueOf(own).Elem(), reflect.ValueOf(global).Elem()
	ownWiki := !to.FieldByName("Wiki").IsZero()
	for i := range to.NumField() {
		field := to.Type().Field(i)
		if !field.IsExported() || !to.Field(i).IsZero() || ownWiki && field.Name == "Wikis" {
			continue
		}
		if value := from.FieldByName(field.Name); value.IsValid() && value.Type() == field.Type {
			to.Field(i).Set(value)
		}
	}
}
