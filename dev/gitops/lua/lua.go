// Package lua runs the scripts in gitops/argocd as Argo CD does.
package lua

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	gopher "github.com/yuin/gopher-lua"
	luajson "layeh.com/gopher-json"
)

// Run runs a script under what Argo CD gives to scripts of argocd-cm and to every action: these libraries, these globals, one second.
// parameters are none for a version of Argo CD that does not know them.
func Run(script string, object map[string]any, parameters map[string]string) ([]byte, error) {
	state := gopher.NewState(gopher.Options{SkipOpenLibs: true})
	defer state.Close()
	libraries := map[string]gopher.LGFunction{gopher.LoadLibName: gopher.OpenPackage, gopher.BaseLibName: gopher.OpenBase, gopher.TabLibName: gopher.OpenTable}
	for name, open := range libraries {
		if err := state.CallByParam(gopher.P{Fn: state.NewFunction(open), Protect: true}, gopher.LString(name)); err != nil {
			return nil, err
		}
	}
	state.PreloadModule(gopher.OsLibName, func(state *gopher.LState) int {
		state.Push(state.SetFuncs(state.NewTable(), map[string]gopher.LGFunction{"time": osTime, "date": osDate}))
		return 1
	})
	limit, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	state.SetContext(limit)
	if parameters != nil {
		table := state.NewTable()
		for name, value := range parameters {
			table.RawSetString(name, gopher.LString(value))
		}
		state.SetGlobal("actionParams", table)
	}
	state.SetGlobal("obj", toLua(state, object))
	if err := state.DoString(script); err != nil {
		var inScript *gopher.ApiError
		if errors.As(err, &inScript) {
			inScript.StackTrace = ""
		}
		return nil, err
	}
	answer := state.Get(-1)
	if answer.Type() != gopher.LTTable {
		return nil, fmt.Errorf("the answer is %s, not a table", answer.Type())
	}
	return luajson.Encode(answer)
}

func toLua(state *gopher.LState, value any) gopher.LValue {
	switch value := value.(type) {
	case bool:
		return gopher.LBool(value)
	case string:
		return gopher.LString(value)
	case int64:
		return gopher.LNumber(value)
	case float64:
		return gopher.LNumber(value)
	case []any:
		table := state.NewTable()
		for _, item := range value {
			table.Append(toLua(state, item))
		}
		return table
	case map[string]any:
		table := state.NewTable()
		for name, item := range value {
			table.RawSetString(name, toLua(state, item))
		}
		return table
	default:
		return gopher.LNil
	}
}

func osTime(state *gopher.LState) int {
	state.Push(gopher.LNumber(time.Now().Unix()))
	return 1
}

// As far as the scripts use it: a format, in UTC if it begins with an exclamation mark.
func osDate(state *gopher.LState) int {
	now := time.Now()
	format, utc := strings.CutPrefix(state.CheckString(1), "!")
	if utc {
		now = now.UTC()
	}
	two := func(number int) string { return fmt.Sprintf("%02d", number) }
	words := strings.NewReplacer("%Y", strconv.Itoa(now.Year()), "%m", two(int(now.Month())), "%d", two(now.Day()),
		"%H", two(now.Hour()), "%M", two(now.Minute()), "%S", two(now.Second()))
	state.Push(gopher.LString(words.Replace(format)))
	return 1
}

// Restored is an object with its empty lists: Lua has one empty table for both of JSON's, and Argo CD puts back the one that was there.
func Restored(after, before any) any {
	switch after := after.(type) {
	case map[string]any:
		if before, ok := before.(map[string]any); ok {
			for name := range after {
				after[name] = Restored(after[name], before[name])
			}
		}
	case []any:
		switch before := before.(type) {
		case map[string]any:
			if len(after) == 0 {
				return before
			}
		case []any:
			for index := range min(len(after), len(before)) {
				after[index] = Restored(after[index], before[index])
			}
		}
	}
	return after
}
