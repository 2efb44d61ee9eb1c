package place

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/ctrl/readfile"
	"penstock/ctrl/store/file"
)

// maxFile is more octets than the places of any box take.
const maxFile = 1 << 20

// storedPlace is a place in the file.
type storedPlace struct {
	SwitchMAC  model.MAC `json:"switch_mac"`
	SwitchPort uint8     `json:"switch_port"`
}

type storedPlaces struct {
	Ports map[string]storedPlace `json:"ports"`
}

// load reads the places of the last run, by port; none if there is no file.
func load(path string) (map[string]compile.Place, error) {
	text, err := readfile.Regular(path, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all storedPlaces
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	places := map[string]compile.Place{}
	for name, x := range all.Ports {
		if x.SwitchMAC != 0 && !x.SwitchMAC.IsGroup() && x.SwitchPort != 0 {
			places[name] = compile.Place{Switch: x.SwitchMAC, Port: x.SwitchPort}
		}
	}
	return places, nil
}

// save replaces the file.
func save(path string, places map[string]compile.Place) error {
	all := storedPlaces{Ports: map[string]storedPlace{}}
	for name, at := range places {
		all.Ports[name] = storedPlace{at.Switch, at.Port}
	}
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return file.Replace(path, append(text, '\n'))
}
