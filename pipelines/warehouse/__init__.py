"""The analysts' warehouse: what stands on the topics as open tables, each row once, and the questions asked of them."""
