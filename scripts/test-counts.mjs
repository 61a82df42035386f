#!/usr/bin/env node
/**
 * Prints `N passed, N failed`, from a report of vitest's JSON reporter and the exit statuses of the other steps.
 *
 * usage: node scripts/test-counts.mjs REPORT.json STATUS...
 *
 * A test file that cannot load counts as a failed test, and so does each step that failed without the report showing
 * it (a linter, a test run that broke off): the line never says 0 failed of a run that did fail.
 */
import { existsSync, readFileSync } from 'node:fs';

const [reportPath = '', testStatus = '0', ...otherStatuses] = process.argv.slice(2);

let passed = 0;
let failed = 0;
if (existsSync(reportPath)) {
  const report = JSON.parse(readFileSync(reportPath, 'utf8'));
  passed = report.numPassedTests;
  failed = report.numFailedTests;
  for (const file of report.testResults) {
    if (file.status === 'failed' && !file.assertionResults.some(({ status }) => status === 'failed'))
      failed++;
  }
}
if (testStatus !== '0' && failed === 0) failed = 1;
failed += otherStatuses.filter((status) => status !== '0').length;

console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
