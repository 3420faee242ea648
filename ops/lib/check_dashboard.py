# SPDX-License-Identifier: Apache-2.0
"""What ops/check-dashboard does in the browser. usage: check_dashboard.py URL TOKEN FOLDER"""

import os
import subprocess
import sys
import time

from browser import Browser

url, token, folder = sys.argv[1:]


def sql(query):
    """One value."""
    command = [os.environ["DELTAKV"], "db", "psql", "--", "-X", "-A", "-t", "-q", "-c", query]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def check(found, wanted, what):
    if found != wanted:
        raise SystemExit(f"{what}: the page says {found!r}, it must be {wanted!r}")
    print(f"  {what}: {found}")


def tile(name, part=".value"):
    return (f"[...document.querySelectorAll('.tile')].find(t => t.querySelector('.name').textContent === '{name}')"
            f"?.querySelector('{part}').textContent")


def loaded(browser):
    browser.wait("document.querySelectorAll('.tile').length > 0 && document.querySelectorAll('#batches tbody tr').length > 0",
                 "the figures")
    browser.pause(0.5)


def looks(browser):
    """Every look, with pictures; nothing may reach beyond the window's width."""
    for name, width, height, scheme, scale in (
            ("light", 1280, 900, "light", 1), ("dark", 1280, 900, "dark", 1), ("phone", 390, 844, "light", 2),
            ("phone-dark", 390, 844, "dark", 2)):
        browser.look(width, height, scheme, scale)
        browser.open(url)
        loaded(browser)
        check(browser.evaluate("document.documentElement.dataset.theme"), scheme, f"theme of {name}")
        check(browser.evaluate("document.documentElement.scrollWidth <= innerWidth"), True, f"{name} fits the window")
        browser.picture(f"{folder}/overview-{name}.png")
        job = sql("SELECT max(job_id) FROM deltakv.outcomes WHERE state = 'failed'")
        browser.open(f"{url}#/job/{job}")
        browser.wait("document.querySelectorAll('.timeline li').length >= 3", "the job's course")
        check(browser.evaluate("document.documentElement.scrollWidth <= innerWidth"), True, f"{name} of a job fits")
        browser.picture(f"{folder}/job-{name}.png")
        browser.open("about:blank")


def figures(browser):
    browser.look(1280, 900, "light")
    browser.open(url)
    loaded(browser)
    for name, column in (("Waiting", "available"), ("Running", "running")):
        check(browser.evaluate(tile(name)), f"{int(sql(f'SELECT count(*) FROM deltakv.queue WHERE state = {chr(39)}{column}{chr(39)}')):,}", name)
    for name, column in (("Completed", "completed_at"), ("Failed", "failed_at")):
        all_jobs = int(sql(f"SELECT count({column}) FROM deltakv.outcomes"))
        check(browser.evaluate(tile(name, ".note")), f"last hour · {all_jobs:,} in all", name)
    check(browser.evaluate("document.querySelectorAll('#batches tbody tr').length"), int(sql("SELECT count(*) FROM deltakv.batches")), "batches")
    check(browser.evaluate("document.body.textContent.includes('word word')"), False, "a document's text on the page")
    speed = browser.evaluate("(async () => { const t = performance.now(); await (await fetch('/api/overview')).text(); return performance.now() - t; })()")
    print(f"  the figures took {speed:.0f} ms")


def keys(browser):
    browser.key("/")
    check(browser.evaluate("document.activeElement.id"), "find-job", "/ goes to the job's number")
    browser.type("1")
    browser.key("Enter", text="\r")
    browser.wait("location.hash === '#/job/1' && document.querySelector('#job h1') !== null", "job 1")
    browser.evaluate("location.hash = '#/'")
    browser.wait("!document.querySelector('#overview').hidden", "the overview")
    browser.evaluate("document.getElementById('tab-running').focus()")
    browser.key("ArrowRight")
    check(browser.evaluate("document.querySelector('[aria-selected=true]').id"), "tab-slowest", "arrow keys change tabs")
    # What has the focus keeps it when figures are read anew.
    browser.evaluate("document.querySelector('#jobs a').focus()")
    focused = browser.evaluate("document.activeElement.dataset.key")
    browser.pause(3)
    check(browser.evaluate("document.activeElement.dataset.key"), focused, "the focus stays")


def actions(browser):
    check(browser.evaluate("document.querySelectorAll('#batches button').length"), 0, "buttons before signing in")
    browser.evaluate("document.getElementById('sign').click()")
    browser.type("a wrong token, long enough")
    browser.key("Enter", text="\r")
    browser.wait("!document.getElementById('sign-in-problem').hidden", "the refusal")
    # The browser itself reports the refusal, which is what it should be.
    browser.errors = [error for error in browser.errors if "403" not in error]
    browser.evaluate("document.getElementById('token').select()")
    browser.type(token)
    browser.key("Enter", text="\r")
    browser.wait("document.querySelectorAll('#batches button').length > 0", "buttons after signing in")
    browser.picture(f"{folder}/overview-signed-in.png")
    click = "[...document.querySelectorAll('#batches button')].find(b => b.getAttribute('aria-label') === '{}').click()"
    for label, query, wanted in (
            ("Pause q3-reports", "SELECT paused_at IS NOT NULL FROM deltakv.batches WHERE name = 'q3-reports'", "t"),
            ("Resume q3-reports", "SELECT paused_at IS NOT NULL FROM deltakv.batches WHERE name = 'q3-reports'", "f"),
            ("Redrive support-tickets", "SELECT count(*) FROM deltakv.outcomes o JOIN deltakv.batches b USING (batch_id) WHERE b.name = 'support-tickets' AND failed_at IS NOT NULL", "0"),
            ("Cancel contracts-2026", "SELECT count(*) FROM deltakv.queue JOIN deltakv.batches b USING (batch_id) WHERE b.name = 'contracts-2026'", "0")):
        browser.wait(click.format(label).replace(".click()", " !== undefined"), f"the button {label}")
        browser.evaluate(click.format(label))
        browser.wait("document.getElementById('confirm').open", "the question")
        if label.startswith("Cancel"):
            browser.picture(f"{folder}/question.png")
        browser.evaluate("document.getElementById('confirm-yes').click()")
        deadline = time.monotonic() + 10
        while sql(query) != wanted and time.monotonic() < deadline:
            browser.pause(0.2)
        check(sql(query), wanted, label)
        browser.pause(0.5)


with Browser() as browser:
    looks(browser)
    figures(browser)
    keys(browser)
    actions(browser)
    if browser.errors:
        raise SystemExit("the browser's console says:\n" + "\n".join(browser.errors))
    print("  nothing in the console")
