package webtest

import (
	"fmt"
	"os"
	"testing"

	"github.com/gstpeer/gstpeer/internal/browsertest"
)

func TestMain(m *testing.M) { os.Exit(browsertest.Main(m)) }

// tab is the page in Chromium.
type tab struct{ *browsertest.Tab }

func openPage(t *testing.T, url string, scripts ...string) tab {
	t.Helper()
	return tab{browsertest.Open(t, url, scripts...)}
}

// tile is the selector of a sender's tile.
func tile(uid string) string {
	return fmt.Sprintf(`.tile[data-uid="%s"]`, uid)
}

// awaitState waits for a tile's state and for the words that show it.
func (b tab) awaitState(uid, state, words string) {
	b.Eventually(fmt.Sprintf(`(() => {
		const tile = document.querySelector('%s');
		return tile?.dataset.state === %q && tile.querySelector('.state').textContent === %q;
	})()`, tile(uid), state, words))
}

func (b tab) awaitLive(uid string) { b.awaitState(uid, "live", "live") }

func (b tab) awaitRelay(state string) {
	b.Eventually(fmt.Sprintf(`document.body.dataset.relay === %q`, state))
}
